import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

export interface Agent extends AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
}

const agentFile = fileURLToPath(new URL("agent-main.ts", import.meta.url));
const projectDir = join(dirname(agentFile), "..", "..", "..", "..");

/**
 * Builds a root file system in memory and runs the agent in it. It contains the host's programs and this project, and
 * nothing else from the host's disk. The mount namespace and all its mounts end with its last process.
 */
const script = `
set -e
mount -t tmpfs -o mode=0755 tmpfs "$ROOT"
for name in usr etc bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then cp -P "/$name" "$ROOT/$name"
  elif [ -d "/$name" ]; then mkdir "$ROOT/$name"; mount --rbind "/$name" "$ROOT/$name"
  fi
done
for name in proc sys dev; do mkdir "$ROOT/$name"; mount --rbind "/$name" "$ROOT/$name"; done
mkdir -p "$ROOT$PROJECT" "$ROOT/tmp" "$ROOT/run" "$ROOT/var" "$ROOT/root" "$ROOT/airlock-agent"
mount --bind "$PROJECT" "$ROOT$PROJECT"
mount -t tmpfs -o mode=0700 tmpfs "$ROOT/airlock-agent"
exec chroot "$ROOT" "$NODE" "$AGENT"
`;

export async function startAgent(): Promise<Agent> {
  const root = await mkdtemp(join(tmpdir(), "airlock-diskless-"));
  const env = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ROOT: root,
    PROJECT: projectDir,
    NODE: process.execPath,
    AGENT: agentFile,
  };
  const args = ["--mount", "--propagation=private", "--", "/bin/sh", "-c", script];
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn("unshare", args, {
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve, reject) => child.once("close", () => resolve()).once("error", reject));
  // A write to an agent that has ended fails through its answer.
  child.stdin.on("error", () => {});
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
      await rm(root, { recursive: true, force: true });
    },
  };
}
