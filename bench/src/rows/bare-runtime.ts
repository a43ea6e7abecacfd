import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Subject } from "../measuring/paired.ts";
import { timeCommand } from "./time-command.ts";

/** The OCI runtimes of this machine to compare: the usual one and runc. Absolute paths, one per name. */
export function installedRuntimes(usual: string): readonly string[] {
  return [usual, "/usr/sbin/runc", "/usr/bin/runc"].filter(
    (file, index, all) =>
      existsSync(file) && all.findIndex((other) => path.basename(other) === path.basename(file)) === index,
  );
}

/** A command prefix that runs a program where the OCI runtime works, so that its own cost can be measured too. */
export interface BareHost extends AsyncDisposable {
  readonly prefix: readonly string[];
}

/**
 * crun refuses a hybrid cgroup mount even when it is told not to manage cgroups. There it runs in a mount namespace
 * without that mount, which one process keeps open during the whole benchmark.
 */
export async function prepareBareHost(): Promise<BareHost> {
  if (!existsSync("/sys/fs/cgroup/unified")) return { prefix: [], async [Symbol.asyncDispose]() {} };
  const holder = spawn(
    "unshare",
    ["--mount", "--propagation", "slave", "sh", "-c", "umount /sys/fs/cgroup/unified && echo ready && exec cat"],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  await once(holder.stdout, "data");
  return {
    prefix: ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`],
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await once(holder, "exit");
    },
  };
}

/** Runs a bundle as created by the runtime's own `spec` command on an unpacked root file system. It prints `hi`. */
export async function bareBundle(
  runtimePath: string,
  bundle: string,
  layers: readonly Buffer[],
  prefix: readonly string[],
): Promise<Subject> {
  const rootfs = path.join(bundle, "rootfs");
  await mkdir(rootfs, { recursive: true });
  for (const layer of layers) execFileSync("tar", ["-x", "-C", rootfs], { input: layer });
  execFileSync(runtimePath, ["spec"], { cwd: bundle });
  const configPath = path.join(bundle, "config.json");
  const config = JSON.parse(await readFile(configPath, "utf8")) as {
    process: { terminal: boolean; args: string[]; rlimits?: unknown };
  };
  config.process.terminal = false;
  config.process.args = ["/bin/sh", "-c", "echo hi"];
  // The template's limits may exceed this machine's hard limits, which even root can't raise everywhere.
  delete config.process.rlimits;
  await writeFile(configPath, JSON.stringify(config));
  const name = path.basename(runtimePath);
  const global = name === "crun" ? ["--cgroup-manager=disabled"] : [];
  const state = path.join(bundle, "state");
  let runs = 0;
  const command = () => [
    ...prefix,
    runtimePath,
    "--root",
    state,
    ...global,
    "run",
    "--bundle",
    bundle,
    `bench-${process.pid}-${runs++}`,
  ];
  return {
    name: `${name} run`,
    run: () => {
      const [file = "", ...args] = command();
      return timeCommand(file, args);
    },
  };
}
