import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runtimeFailed } from "../contract/index.ts";
import { killProcess } from "../host/cgroups/cgroup.ts";
import { errorCode } from "../host/error-code.ts";

const fileName = "launcher";
const endTimeoutMs = 10_000;

/** Records in a step's directory which process is its launcher, so that a step without a cgroup can be found again. */
export async function markLauncher(directory: string, launcher: number): Promise<void> {
  const stat = await readStat(launcher);
  if (stat) await writeFile(join(directory, fileName), `${launcher} ${stat.startedAt}\n`, { mode: 0o600 });
}

/**
 * Ends the step of the directory's recorded launcher, with all its processes. Does nothing if there is no record, or if
 * the launcher is dead.
 * @throws {AirlockError} reason `runtime` when a process survives for 10 s.
 */
export async function endMarkedLauncher(directory: string): Promise<void> {
  const [launcher = 0, startedAt = 0] = (await readIfThere(join(directory, fileName))).split(" ").map(Number);
  const isAlive = async () => launcher > 0 && (await readStat(launcher))?.startedAt === startedAt;
  for (const deadline = Date.now() + endTimeoutMs; await isAlive(); await delay(5)) {
    // The launcher ends after its child, which ends when no process of its namespace is left.
    const children = await childrenOf(launcher);
    for (const pid of children.length > 0 ? children : [launcher]) killProcess(pid, "SIGKILL");
    if (Date.now() > deadline) throw runtimeFailed(`the process ${launcher} survives SIGKILL`);
  }
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(async (pid) => ({ pid, stat: await readStat(pid) })));
  return stats.filter(({ stat }) => stat?.parent === parent).map(({ pid }) => pid);
}

async function readStat(pid: number): Promise<{ readonly parent: number; readonly startedAt: number } | undefined> {
  const text = await readIfThere(`/proc/${pid}/stat`);
  if (text === "") return undefined;
  // Skip the program's name, which may contain anything. Then the first field is the state, the third of proc(5).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { parent: Number(fields[1]), startedAt: Number(fields[19]) };
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return "";
    throw error;
  }
}
