import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import type { IdRanges } from "../../../host/id-ranges.ts";

export interface FirecrackerOptions {
  /** Absolute path of the program. With the jailer it has to be statically linked. */
  readonly program: string;
  /** `"none"`: Firecracker runs with the executor's own rights. For tests, and machines that isolate otherwise. */
  readonly jailer: JailerOptions | "none";
  /** `null`: no limit. */
  readonly bandwidth: Bandwidth | null;
  /** `serial` costs the guest time for each line that its kernel prints. Default: `off`. */
  readonly console?: "off" | "serial";
  /** More arguments for the guest's kernel. */
  readonly bootArgs?: string;
}

export interface JailerOptions {
  /** Absolute path of the program, of Firecracker's version. */
  readonly program: string;
  /** Where each machine gets its user and group id. */
  readonly ids: Pick<IdRanges, "take">;
  readonly cgroups: CgroupHost;
  /** The executor to which the cgroups belong. */
  readonly owner: string;
}

/** EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS and _EGRESS, as seen from the guest. */
export interface Bandwidth {
  readonly ingressBytesPerSecond: number;
  readonly egressBytesPerSecond: number;
}
