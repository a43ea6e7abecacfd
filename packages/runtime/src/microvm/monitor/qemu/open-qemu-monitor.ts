import { runtimeFailed } from "../../../contract/errors.ts";
import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import type { IdRange } from "../../../host/id-range.ts";
import { IdRanges } from "../../../host/id-ranges.ts";
import { loadNetworkCalls } from "../../../host/network-calls.ts";
import { loadSystemCalls } from "../../../host/system-calls.ts";
import type { QemuAccelerator } from "./qemu-command.ts";
import { QemuMonitor } from "./qemu-monitor.ts";

export interface OpenQemuOptions {
  /** Absolute path of `qemu-system-x86_64`. */
  readonly program: string;
  readonly accelerator: QemuAccelerator;
  /** As in `QemuMonitorOptions`. */
  readonly processor?: string;
  /** Group that may open `/dev/kvm`. `null`: everyone may, or KVM is not used. */
  readonly kvmGroup: number | null;
  /** The executor whose machines the monitor runs. */
  readonly owner: string;
  /** Ids of the users of machines. Each machine has one. */
  readonly ids: IdRange;
  /** As in `IdRangesOptions`. */
  readonly lockFile: string;
  readonly cgroupHost: CgroupHost;
}

/**
 * Makes the monitor that runs machines with QEMU. Each machine's QEMU has a user, a network namespace and a cgroup of
 * its own, which needs root.
 * @throws {AirlockError} reason `runtime` when this platform lacks the system calls for that.
 */
export async function openQemuMonitor(options: OpenQemuOptions): Promise<QemuMonitor> {
  const { program, accelerator, processor, kvmGroup, owner, ids, lockFile, cgroupHost } = options;
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw runtimeFailed(`virtual machines can't have users of their own: ${calls.problem}`);
  const networks = await loadNetworkCalls();
  return new QemuMonitor({
    program,
    accelerator,
    ...(processor === undefined ? {} : { processor }),
    kvmGroup,
    ids: new IdRanges({ ids, size: 1, lockFile, calls }),
    networks: "problem" in networks ? null : networks,
    cgroups: { host: cgroupHost, owner },
  });
}
