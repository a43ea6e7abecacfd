import { execFile } from "node:child_process";
import { readlink } from "node:fs/promises";
import { promisify } from "node:util";
import { startDaemon } from "./daemon.ts";

const run = promisify(execFile);

/**
 * A network namespace for an engine's daemons, connected to the host by a veth pair. A second daemon in the host's
 * namespace would delete the first one's bridge and rewrite its firewall.
 */
export interface EngineNetwork extends AsyncDisposable {
  /** Path for `nsenter --net=`. */
  readonly namespacePath: string;
  /** Address of the host's end of the pair, reachable from the host and from inside. */
  readonly hostAddress: string;
  /** Address of the namespace's end of the pair. */
  readonly engineAddress: string;
  /** The two addresses of the pair, e.g. `198.18.4.8/30`. */
  readonly subnet: string;
}

/** Creates the network. Needs root. Leaves nothing behind on failure. */
export async function startEngineNetwork(directory: string): Promise<EngineNetwork> {
  await using cleanup = new AsyncDisposableStack();
  // The namespace exists as long as this process. The kernel removes the pair with it, so nothing has to be deleted.
  const holder = cleanup.use(
    await startDaemon({
      command: "unshare",
      args: ["--net", "cat"],
      logPath: `${directory}/network.log`,
      stopBy: "end-of-input",
    }),
  );
  const namespacePath = `/proc/${holder.pid}/ns/net`;
  const ours = await readlink("/proc/self/ns/net");
  await holder.ready(async () => ((await readlink(namespacePath)) === ours ? undefined : true));

  const inside = (...args: string[]) => run("nsenter", [`--net=${namespacePath}`, "ip", ...args]);
  const hostEnd = `al${holder.pid}h`;
  const subnet = await freeSubnet(holder.pid);
  await run("ip", ["link", "add", hostEnd, "type", "veth", "peer", "name", "al0", "netns", String(holder.pid)]);
  await run("ip", ["address", "add", `${subnet.host}/30`, "dev", hostEnd]);
  await run("ip", ["link", "set", hostEnd, "up"]);
  await inside("link", "set", "lo", "up");
  await inside("address", "add", `${subnet.engine}/30`, "dev", "al0");
  await inside("link", "set", "al0", "up");

  const owned = cleanup.move();
  return {
    namespacePath,
    hostAddress: subnet.host,
    engineAddress: subnet.engine,
    subnet: subnet.cidr,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Chooses one of the 32768 /30 networks of the range that RFC 2544 reserves for benchmarks, starting from the process's
 * id.
 */
async function freeSubnet(seed: number): Promise<{ cidr: string; host: string; engine: string }> {
  const { stdout } = await run("ip", ["-4", "address", "show"]);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const offset = ((seed + attempt * 7919) % 32_768) * 4;
    const prefix = `198.${18 + (offset >> 16)}.${(offset >> 8) & 255}`;
    const last = offset & 255;
    if (stdout.includes(`inet ${prefix}.${last + 1}/`)) continue;
    return { cidr: `${prefix}.${last}/30`, host: `${prefix}.${last + 1}`, engine: `${prefix}.${last + 2}` };
  }
  throw new Error("no free /30 network found in 198.18.0.0/15");
}
