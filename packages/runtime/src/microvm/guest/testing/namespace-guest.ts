import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { buildAgent } from "../build-agent.ts";

/** A guest agent that runs as process 1 of namespaces on this host, in place of a virtual machine. */
export interface NamespaceGuest extends AsyncDisposable {
  readonly stream: Duplex;
  readonly process: ChildProcess;
  /** Resolves with the exit code, or the signal, and what the agent printed. */
  readonly ended: Promise<{ readonly code: number | null; readonly console: string }>;
}

/** A build of the agent and three images, shared by the tests of a file. Disks 1 and 2 are hostile. */
export interface GuestParts extends AsyncDisposable {
  /** Path of the agent's binary. */
  readonly agent: string;
  /** Path of the directory that is disk 0. */
  readonly image: string;
  start(options?: StartOptions): NamespaceGuest;
}

interface StartOptions {
  /** Whether the guest has a network of its own, with one Ethernet device. Default: false. */
  readonly hasNetwork?: boolean;
  /** Path of the Unix socket to which the agent connects. Default: it has the other end of `stream`. */
  readonly socket?: string;
}

const applets = ["sh", "cat", "echo", "sleep", "id", "ls", "mkdir", "ln", "head", "yes", "kill", "touch", "true"];
const moreApplets = [
  "chmod",
  "mkfifo",
  "stat",
  "hostname",
  "ip",
  "grep",
  "wc",
  "dd",
  "tr",
  "env",
  "pwd",
  "mount",
  "readlink",
  "nc",
  "sha256sum",
  "chown",
  "chgrp",
  "rm",
];

export async function makeGuestParts({ sanitize = false } = {}): Promise<GuestParts> {
  const directory = await mkdtemp(join(tmpdir(), "airlock-guest-"));
  const agent = join(directory, "agent");
  await makeImage(join(directory, "disk-a"));
  // Links in place of the directories at which the agent mounts.
  const hostile = join(directory, "disk-b");
  await makeImage(hostile);
  const links = { proc: "/etc", sys: "../..", dev: "/", data: "/run", airlock: "/run/airlock" };
  for (const [name, target] of Object.entries(links)) await symlink(target, join(hostile, name));
  await mkdir(join(hostile, "etc"));
  const files = { hosts: "/data/outside", hostname: "../data/outside", "resolv.conf": "/proc/1/root/run/outside" };
  for (const [name, target] of Object.entries(files)) await symlink(target, join(hostile, "etc", name));
  // A link in place of /etc itself.
  await makeImage(join(directory, "disk-c"));
  await symlink("/data", join(directory, "disk-c", "etc"));
  await buildAgent({ output: agent, sanitize, signal: AbortSignal.timeout(60_000) });
  return {
    agent,
    image: join(directory, "disk-a"),
    start: (options = {}) => startGuest(agent, join(directory, "disk-"), options),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

async function makeImage(image: string): Promise<void> {
  await mkdir(join(image, "bin"), { recursive: true });
  await copyFile("/bin/busybox", join(image, "bin", "busybox"));
  for (const name of [...applets, ...moreApplets]) await symlink("busybox", join(image, "bin", name));
}

function startGuest(agent: string, disks: string, { hasNetwork = false, socket }: StartOptions): NamespaceGuest {
  const device = ["sh", "-c", 'ip link add peer type veth peer name eth0 && exec "$@"', "sh"];
  // Without these capabilities a fault of the agent can't set this host's clock or restart it.
  const confined = [...(hasNetwork ? device : []), "setpriv", "--bounding-set=-sys_time,-sys_boot", agent];
  const namespaces = ["--pid", "--mount", ...(hasNetwork ? ["--net"] : [])];
  const args = [...namespaces, "--fork", "--kill-child", "--mount-proc", "--", ...confined];
  const host = socket === undefined ? ["--fd", "3"] : ["--unix", socket];
  const child = spawn("unshare", [...args, "--shared-kernel", "--disks", disks, ...host], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ASAN_OPTIONS: "detect_leaks=0" },
  });
  const stream = child.stdio[3] as Duplex;
  let output = "";
  child.stderr?.on("data", (bytes: Buffer) => {
    output = (output + bytes.toString("latin1")).slice(-8192);
  });
  const ended = new Promise<{ code: number | null; console: string }>((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve({ code, console: output }));
  });
  return {
    stream,
    process: child,
    ended,
    async [Symbol.asyncDispose]() {
      stream.destroy();
      child.kill("SIGKILL");
      await ended;
    },
  };
}
