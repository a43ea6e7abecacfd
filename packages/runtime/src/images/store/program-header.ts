/** `e_machine` values of elf(5) that each CPU can run, including its 32-bit predecessor. */
const machines: Partial<Record<NodeJS.Architecture, readonly number[]>> = {
  x64: [62, 3],
  arm64: [183, 40],
  riscv64: [243],
};

/** How many bytes of a file {@link isProgramFor} needs. */
export const programHeaderBytes = 20;

/** Whether a file with this header can be run on a CPU: an ELF program for it, or a script. */
export function isProgramFor(header: Buffer, cpu: NodeJS.Architecture = process.arch): boolean {
  if (header.subarray(0, 2).toString("latin1") === "#!") return true;
  if (header.length < programHeaderBytes || header.subarray(0, 4).toString("latin1") !== "\x7fELF") return false;
  const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18);
  return machines[cpu]?.includes(machine) ?? true;
}
