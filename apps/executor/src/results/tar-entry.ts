import { isUtf8 } from "node:buffer";

/** Files have no times of their own in the archive: the same files make the same bytes. Before 1980 unpackers complain. */
const modifiedAt = 315_532_800;
const blockBytes = 512;
/** 11 octal digits. */
const largestPlainSize = 8 ** 11 - 1;

/** What stands before a file's bytes: one header, or with names and sizes that do not fit, a PAX header before it. */
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

/** What stands after a file's bytes. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}

/** What ends an archive. */
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

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + String(rest.length).length;
  length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
