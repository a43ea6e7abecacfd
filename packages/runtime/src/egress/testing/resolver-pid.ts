import type { TestNetwork } from "./test-network.ts";

/** Process id of the only resolver that listens in the host's namespace. */
export async function resolverPid(network: TestNetwork): Promise<number> {
  const sockets = await network.onHost("ss", "-H", "-lntp");
  const pids = new Set([...sockets.matchAll(/^.*198\.\d+\.\d+\.\d+:6\d{4} .*pid=(\d+)/gm)].map(([, pid]) => pid));
  const [pid, ...others] = pids;
  if (pid === undefined || others.length > 0) throw new Error(`${pids.size} resolvers answer in the test network`);
  return Number(pid);
}
