import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError } from "@airlock/job";

/**
 * Stops a server that a killed instance left on this cluster. Removes its pid file after all processes have left the
 * cluster. The caller holds the data directory's lock, so no running instance owns these processes.
 *
 * The order matters. A server that starts while old workers still write would corrupt the cluster. A leftover pid file
 * keeps the server from starting if another process has that pid, as is common in a restarted container.
 */
export async function stopPredecessor(cluster: string): Promise<void> {
  const pidFile = path.join(cluster, "postmaster.pid");
  if (!existsSync("/proc/self/cwd") || !existsSync(pidFile)) return;
  const postmaster = Number((await readFile(pidFile, "utf8")).split("\n")[0]);
  for (const [signal, workerSignal, graceMs] of [
    // A worker takes SIGINT for a request to cancel its statement, not to exit.
    ["SIGINT", "SIGTERM", 20_000],
    ["SIGQUIT", "SIGQUIT", 5000],
    ["SIGKILL", "SIGKILL", 5000],
  ] as const) {
    const before = await processesIn(cluster);
    // Workers exit with their postmaster. If it is gone, signal the workers themselves.
    if (before.includes(postmaster)) kill(postmaster, signal);
    else for (const pid of before) kill(pid, workerSignal);
    for (const deadline = Date.now() + graceMs; Date.now() < deadline; await sleep(25)) {
      if ((await processesIn(cluster)).length > 0) continue;
      await rm(pidFile, { force: true });
      return;
    }
  }
  throw new AirlockError(`processes ${(await processesIn(cluster)).join(", ")} still use the database`, {
    code: "postgres-failed",
    hint: "Stop these processes, then start the instance again.",
  });
}

/** PostgreSQL's processes have the cluster as their working directory. Its inode is the same through any mount. */
async function processesIn(cluster: string): Promise<number[]> {
  const { dev, ino } = await stat(cluster);
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const cwd = await stat(`/proc/${name}/cwd/`).catch(() => null); // The process ended, or belongs to another user.
    if (cwd && cwd.dev === dev && cwd.ino === ino) found.push(Number(name));
  }
  return found;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
