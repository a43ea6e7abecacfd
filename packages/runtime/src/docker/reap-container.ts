import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { killProcess } from "../host/cgroups/cgroup.ts";
import { errorCode } from "../host/error-code.ts";

/**
 * Programs that the engine starts for a container. A job's process can take any name, so it must not match by name
 * alone.
 */
const programs = /^(?:containerd-shim|runsc)/;
const pollMs = 10;
const mostPolls = 200;

/**
 * Kills what a local engine left of a container that did not start. With gVisor the engine forgets its shim, and the
 * shim forgets the kernel in user space. Their command lines contain the container's id, which no other process has by
 * chance.
 */
export async function reapContainer(container: string): Promise<void> {
  for (let polls = 0; polls < mostPolls; polls += 1) {
    const left = await processesOf(container);
    if (left.length === 0) return;
    for (const pid of left) killProcess(pid, "SIGKILL");
    await sleep(pollMs);
  }
}

async function processesOf(container: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const named = await Promise.all(pids.map(async (pid) => ((await isOf(pid, container)) ? [pid] : [])));
  return named.flat();
}

async function isOf(pid: number, container: string): Promise<boolean> {
  try {
    const [program = "", ...args] = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
    return programs.test(basename(program)) && args.some((arg) => arg.split("/").includes(container));
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}
