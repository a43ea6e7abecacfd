import { readdir, readFile } from "node:fs/promises";

/** Ids of a process's running children with this name. */
export async function childrenNamed(parent: number, name: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    // Don't read command lines: that blocks on processes that are out of memory.
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => ""); // The process has ended meanwhile.
    const [, command, state, parentId] = /^\d+ \((.*)\) (\S) (\d+) /s.exec(stat) ?? [];
    if (command === name && state !== "Z" && Number(parentId) === parent) found.push(Number(entry));
  }
  return found;
}

/** Resident memory of a process, in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
