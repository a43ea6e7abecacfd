import { isUtf8 } from "node:buffer";

/**
 * A fixed time for all files, so that the same files make the same bytes. Unpackers complain about times before 1980.
 */
const modifiedAt = 315_532_800;
const blockBytes = 512;
/** The largest number of 11 octal digits. */
const largestPlainSize = 8 ** 11 - 1;

/** The header of a file: one block, preceded by a PAX header if the name or the size does not fit. */
export function tarHeader(path: Buffer, bytes: number, executable: boolean): Buffer {
  const records: Buffer[] = [];
  const plainName = path.length <= 100 && path.every((byte) => byte >= 0x20 && byte < 0x7f);
  if (!plainName) {
    if (!isUtf8(path)) records.push(paxRecord("hdrcharset", Buffer.from("BINARY")));
    records.push(paxRecord("path", path));
  }
  if (bytes > largestPlainSize) records.push(paxRecord("size", Buffer.from(String(bytes))));
  const mode = executable ? 0o755 : 0o644;
  const name = plainName ? path : Buffer.from("a-long-or-special-name");
  const main = header(name, Math.min(bytes, largestPlainSize), mode, "0");
  if (records.length === 0) return main;
  const data = Buffer.concat(records);
  return Buffer.concat([
    header(Buffer.from("PaxHeader"), data.length, 0o644, "x"),
    data,
    tarPadding(data.length),
    main,
  ]);
}

/** Padding after a file's bytes. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}

/** End of an archive. */
export const tarEnd = Buffer.alloc(2 * blockBytes);

function header(name: Buffer, bytes: number, mode: number, type: "0" | "x"): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  name.copy(block, 0, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes, 124, 12);
  octal(modifiedAt, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A PAX record, `LENGTH KEY=VALUE\n`. LENGTH includes its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + String(rest.length).length;
  length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
