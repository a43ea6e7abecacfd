import { readdirSync, readlinkSync } from "node:fs";
import { glob, readdir, readFile, readlink } from "node:fs/promises";
import path from "node:path";

const patterns = [
  "jobs/*",
  "workspaces/*/[!.]*",
  "workspaces/*/.trash/*",
  "runtime/sandboxes/*/*",
  "runtime/microvm/vms/*/*",
  "runtime/microvm/{images,image-disks}/tmp/*",
];

/**
 * Finds what executors left on this machine that belongs to their data directories: mounts, processes that hold files
 * or namespaces there, workspaces, sandboxes, cgroups. One line each.
 */
export async function findLeftovers(executorDirectories: readonly string[]): Promise<string[]> {
  return [...(await findFiles(executorDirectories)), ...(await findProcesses(executorDirectories))];
}

/** As {@link findLeftovers}, without processes: what no executor has while it runs no job. */
export async function findFiles(executorDirectories: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  for (const directory of executorDirectories) {
    for (const line of mounts.split("\n"))
      if (line.includes(`${directory}/`)) found.push(`mount: ${line.split(" ")[4]}`);
    for (const pattern of patterns) {
      for await (const entry of glob(path.join(directory, pattern))) found.push(`directory: ${entry}`);
    }
    const owner = (await readFile(path.join(directory, "executor-id"), "utf8").catch(() => "")).trim();
    if (owner) for await (const cgroup of glob(`/sys/fs/cgroup/**/*${owner}*`)) found.push(`cgroup: ${cgroup}`);
  }
  return found;
}

async function findProcesses(directories: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const [command, cwd, mounts] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
      readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => ""),
    ]);
    const holds = directories.some(
      (directory) =>
        command.includes(directory) ||
        cwd.startsWith(directory) ||
        mounts.includes(`${directory}/`) ||
        openFiles(pid).some((file) => file.startsWith(`${directory}/`)),
    );
    if (holds) found.push(`process ${pid}: ${command.replaceAll("\0", " ").trim()}`);
  }
  return found;
}

/** Virtual machines have their files only as descriptors. */
function openFiles(pid: string): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
  } catch {
    // The process has ended, or closed the file.
    return [];
  }
}
