import { realpath } from "node:fs/promises";
import { outputOf } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { Bandwidth } from "../../../egress/index.ts";
import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import type { IdRange } from "../../../host/id-range.ts";
import { IdRanges } from "../../../host/id-ranges.ts";
import { loadNetworkCalls } from "../../../host/network-calls.ts";
import { loadSystemCalls } from "../../../host/system-calls.ts";
import { FirecrackerMonitor } from "./firecracker-monitor.ts";
import { printable } from "./monitor-output.ts";

export interface OpenFirecrackerOptions {
  /** Absolute path. */
  readonly program: string;
  /** Absolute path. */
  readonly jailer: string;
  /** The executor whose machines the monitor runs. */
  readonly owner: string;
  /** Ids of the users of machines. Each machine has one. */
  readonly ids: IdRange;
  /** As in `IdRangesOptions`. */
  readonly lockFile: string;
  readonly cgroupHost: CgroupHost;
  /** `null`: no limit. */
  readonly bandwidth: Bandwidth | null;
}

/** The first release with all fields of the API that the driver sends. */
const oldest = [1, 17] as const;
const versionMs = 10_000;

/**
 * Makes the monitor that runs each machine in a Firecracker process of its own, in its jail. Needs root and cgroups.
 * @throws {AirlockError} reason `runtime` when a program has another or an old version.
 */
export async function openFirecrackerMonitor(options: OpenFirecrackerOptions): Promise<FirecrackerMonitor> {
  const { owner, ids, lockFile, cgroupHost, bandwidth } = options;
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw runtimeFailed(`virtual machines can't have users of their own: ${calls.problem}`);
  const networks = await loadNetworkCalls();
  // The jailer names its directory after the file itself, not after a link to it.
  const [program, jailer] = [await realpath(options.program), await realpath(options.jailer)];
  const monitor = new FirecrackerMonitor({
    program,
    jailer: {
      program: jailer,
      ids: new IdRanges({ ids, size: 1, lockFile, calls }),
      cgroups: cgroupHost,
      networks: "problem" in networks ? null : networks,
      owner,
    },
    bandwidth,
  });
  const { signal } = new AbortController();
  const version = await monitor.version({ signal });
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    throw runtimeFailed(`Firecracker ${version} is older than ${oldest.join(".")}, which virtual machines need`);
  }
  const printed = await outputOf([jailer, "--version"], { signal, timeoutMs: versionMs });
  const jailerVersion = /^Jailer v(\S+)/m.exec(printed)?.[1];
  if (jailerVersion !== version) {
    const found = jailerVersion ?? (printable(printed.slice(0, 100)).trim() || "nothing");
    throw runtimeFailed(`Firecracker ${version} needs the jailer of its release, but ${jailer} reports ${found}`);
  }
  return monitor;
}
