import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";

const maxStdoutBytes = 2 ** 28;

/** Whether this process can mount a disk that a test made, to compare it with its source. */
export const canMount = process.geteuid?.() === 0;

/** Rejects with e2fsck's findings if the file system of a disk is not consistent. */
export async function checkDisk(path: string): Promise<void> {
  await outputOf(["e2fsck", "-f", "-n", path]);
}

/** Everything that a tree consists of, one line of text per fact, sorted. */
export function readTree(directory: string): Promise<string[]> {
  return facts(["sh", "-euc", listTree, "sh", directory]);
}

/** As {@link readTree}, for a directory of a disk that a test made itself. Only a process of its own sees the mount. */
export async function readDisk(path: string, directory = "."): Promise<string[]> {
  return facts(["unshare", "--mount", "sh", "-euc", `mount -o loop,ro "$1" /mnt\n${inMount}`, "sh", path, directory]);
}

/** Apparent size and disk use in bytes. */
export async function sizesOf(path: string): Promise<{ readonly apparent: number; readonly used: number }> {
  const { size, blocks } = await lstat(path);
  return { apparent: size, used: blocks * 512 };
}

/** Sizes and times of directories are the file system's own affair. */
const listTree = `cd "$1"
printf '%s\\0' "root $(stat -c '%a %u %g' .)"
find . -mindepth 1 -type d -printf 'd %m %U %G %T@ %P\\0' -o -mindepth 1 -printf '%y %m %U %G %T@ %s %n %l %P\\0'
find . -type f -print0 | xargs -0 --no-run-if-empty sha256sum -z
find . -type f -links +1 -printf '%i %P\\0' | sort -z | awk 'BEGIN{RS=ORS="\\0"} {i=$1; sub(/^[0-9]+ /,""); if (i==last) print "same " first " " $0; else first=$0; last=i}'
`;
const inMount = listTree.replace('cd "$1"', 'cd "/mnt/$2"');

async function facts(command: readonly string[]): Promise<string[]> {
  const parts: Buffer[] = [];
  await outputOf(command, { onStdout: (bytes) => void parts.push(bytes), maxStdoutBytes });
  const text = Buffer.concat(parts).toString("latin1");
  return text
    .split("\0")
    .filter((line) => line !== "")
    .sort();
}

/** The path of an entry whose name is not valid UTF-8. */
export function bytePath(directory: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(join(directory, "/")), Buffer.from(name, "latin1")]);
}
