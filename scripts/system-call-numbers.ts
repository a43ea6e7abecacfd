// Writes the tables of system call numbers from the source of a Linux kernel:
//   node scripts/system-call-numbers.ts /usr/src/linux-6.12
// The numbers of released kernels never change, so the tables need this only to learn the names of newer calls.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./programs/run.ts";

const tables = [
  {
    name: "x86-64-calls",
    constant: "x86_64Calls",
    source: "arch/x86/entry/syscalls/syscall_64.tbl",
    abis: ["common", "64"],
  },
  { name: "x86-calls", constant: "x86Calls", source: "arch/x86/entry/syscalls/syscall_32.tbl", abis: ["i386"] },
] as const;

const kernel = process.argv[2];
if (kernel === undefined) throw new Error("give the directory of a Linux kernel's source as the argument");
const [, major, minor] =
  readFileSync(path.join(kernel, "Makefile"), "utf8").match(/VERSION = (\d+)\nPATCHLEVEL = (\d+)/) ?? [];
if (major === undefined) throw new Error(`${kernel}/Makefile names no version: give the top directory of the source`);

for (const { name, constant, source, abis } of tables) {
  const calls = readFileSync(path.join(kernel, source), "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([number, abi]) => /^\d+$/.test(number ?? "") && abis.some((wanted) => wanted === abi))
    .map(([number, , call]) => `  ${call}: ${number},\n`);
  if (calls.length === 0) throw new Error(`${source} lists no calls of ${abis.join(" or ")}: its format has changed`);
  const head = `// Written by \`node scripts/system-call-numbers.ts\` from ${source} of Linux ${major}.${minor}. Don't edit it.\n`;
  const type = "Readonly<Record<string, number>>";
  writeFileSync(
    path.join(root, "packages/runtime/src/microvm/guest/seccomp", `${name}.ts`),
    `${head}export const ${constant}: ${type} = {\n${calls.join("")}};\n`,
  );
}
