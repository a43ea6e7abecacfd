/** `e_machine` values of elf(5) that each CPU can run, including its 32-bit predecessor. */
const machines: Partial<Record<NodeJS.Architecture, readonly number[]>> = {
  x64: [62, 3],
  arm64: [183, 40],
  riscv64: [243],
};

/** How many bytes of a file these functions read. Linkers put the name of the loader into the first page. */
export const programHeaderBytes = 4096;

/** Size of the fixed part of the header, up to and including `e_machine`. */
const leastBytes = 20;

/** Whether a file with this header can be run on a CPU: an ELF program for it, or a script. */
export function isProgramFor(header: Buffer, cpu: NodeJS.Architecture = process.arch): boolean {
  if (header.subarray(0, 2).toString("latin1") === "#!") return true;
  if (header.length < leastBytes || header.subarray(0, 4).toString("latin1") !== "\x7fELF") return false;
  const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18);
  return machines[cpu]?.includes(machine) ?? true;
}

/**
 * The program that the kernel needs to run a file with this header: the dynamic loader of an ELF program, or the
 * interpreter of a script. `null` if it needs none, or if the header does not tell.
 */
export function loaderOf(header: Buffer): string | null {
  const [, interpreter] = /^#![ \t]*([^ \t\n\0]+)/.exec(header.toString("latin1")) ?? [];
  if (interpreter !== undefined) return interpreter;
  if (header.length < 64 || header.subarray(0, 4).toString("latin1") !== "\x7fELF" || header[5] !== 1) return null;
  const is64 = header[4] === 2;
  const at = is64 ? Number(header.readBigUInt64LE(32)) : header.readUInt32LE(28);
  const size = header.readUInt16LE(is64 ? 54 : 42);
  const count = header.readUInt16LE(is64 ? 56 : 44);
  for (let index = 0; index < count; index += 1) {
    const entry = header.subarray(at + index * size, at + (index + 1) * size);
    if (entry.length < (is64 ? 56 : 32)) return null;
    if (entry.readUInt32LE(0) !== interpreterSegment) continue;
    const from = is64 ? Number(entry.readBigUInt64LE(8)) : entry.readUInt32LE(4);
    const end = header.indexOf(0, from);
    return end > from ? header.toString("latin1", from, end) : null;
  }
  return null;
}

/** `PT_INTERP` of elf(5). */
const interpreterSegment = 3;
