import type { Bandwidth } from "../../../egress/index.ts";
import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import type { IdRanges } from "../../../host/id-ranges.ts";
import type { NetworkCalls } from "../../../host/network-calls.ts";

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
  /** Gives each machine's tap to its user. `null`: machines have no network. */
  readonly networks: Pick<NetworkCalls, "giveTap"> | null;
  /** The executor to which the cgroups belong. */
  readonly owner: string;
}
