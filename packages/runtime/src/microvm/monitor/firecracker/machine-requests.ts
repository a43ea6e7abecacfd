import type { Bandwidth } from "../../../egress/index.ts";
import { quickBootArguments } from "../quick-boot.ts";
import type { VmNetwork, VmPlan } from "../vm-monitor.ts";
import type * as api from "./api-types.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";

/** The port on which the host waits for the guest's agent. */
const agentPort = 1000;

/**
 * Names of files in the monitor's root. They are relative, so that a snapshot, which records them, can be loaded from
 * another directory.
 */
export const files = {
  api: "api.sock",
  vsock: "v",
  agent: `v_${agentPort}`,
  kernel: "kernel",
  initrd: "initrd",
  state: "state",
  memory: "memory",
  // Other names: a restored machine's own files are shared with other machines.
  newState: "new-state",
  newMemory: "new-memory",
  disk: (index: number) => `disk-${index}`,
  image: (slot: number) => `image-${slot}`,
} as const;

export const driveId = (index: number): string => `disk${index}`;

export const interfaceId = "net0";

/** What Firecracker is told before it starts a machine. */
export interface MachineRequests {
  readonly machine: api.MachineConfiguration;
  readonly boot: api.BootSource;
  readonly drives: readonly api.Drive[];
  readonly network: api.NetworkInterface | null;
  readonly vsock: api.Vsock;
  readonly balloon: api.Balloon;
}

export function machineRequests(vm: VmPlan, options: FirecrackerOptions): MachineRequests {
  return {
    machine: { vcpu_count: vm.cpus, mem_size_mib: vm.memoryBytes / 2 ** 20, smt: false },
    boot: { kernel_image_path: files.kernel, initrd_path: files.initrd, boot_args: bootArgs(options) },
    drives: vm.disks.map((disk, index) => ({
      drive_id: driveId(index),
      path_on_host: files.disk(index),
      // The guest's root is its initrd.
      is_root_device: false,
      is_read_only: disk?.readOnly ?? true,
    })),
    network: vm.network && networkInterface(vm.network, options.bandwidth),
    vsock: { guest_cid: 3, uds_path: files.vsock },
    // The guest reports pages that it has freed, and Firecracker returns them to the host.
    balloon: { amount_mib: 0, deflate_on_oom: true, free_page_reporting: true },
  };
}

/** Arguments after `--` are those of process 1. */
export function bootArgs({ console = "off", bootArgs: more = "" }: FirecrackerOptions): string {
  const serial = console === "serial" ? ["console=ttyS0"] : ["8250.nr_uarts=0", "quiet"];
  // A panic restarts the guest at once, and a restart ends Firecracker.
  const kernel = [
    "reboot=k",
    "panic=-1",
    "pci=off",
    ...serial,
    ...quickBootArguments,
    ...more.split(/\s+/).filter(Boolean),
  ];
  return [...kernel, "--", "--vsock", String(agentPort)].join(" ");
}

function networkInterface({ tap, macAddress }: VmNetwork, bandwidth: Bandwidth | null): api.NetworkInterface {
  return {
    iface_id: interfaceId,
    host_dev_name: tap,
    guest_mac: macAddress,
    ...(bandwidth?.ingress ? { rx_rate_limiter: perSecond(bandwidth.ingress) } : {}),
    ...(bandwidth?.egress ? { tx_rate_limiter: perSecond(bandwidth.egress) } : {}),
  };
}

function perSecond(bytes: number): api.RateLimiter {
  return { bandwidth: { size: bytes, refill_time: 1000 } };
}
