import type { Abortable, Runtime } from "../contract/index.ts";
import type { Bandwidth, EgressOptions } from "../egress/index.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import type { ImageLimits } from "../images/manifest/image-limits.ts";
import type { ImageOptions } from "../images/policy/image-options.ts";
import type { RegistryOptions } from "../images/registry/registry-client.ts";
import type { Hardening } from "../isolation/hardening.ts";
import type { DockerDisk } from "./docker/docker-disk.ts";
import type { GuestHold } from "./guest/guest-hold.ts";
import type { GuestFiles, VmMonitor } from "./monitor/vm-monitor.ts";

export interface MicrovmRuntimeOptions {
  /**
   * Absolute path of the directory with images, disks and snapshots. Several executors may share it. At most 55 bytes,
   * because the paths of sockets in a machine's directory are limited.
   */
  readonly stateDir: string;
  readonly guest: GuestFiles;
  /** Keeps the guest's files until the runtime is closed, and removes others. Default: the caller keeps them. */
  readonly guestHold?: GuestHold;
  /** The monitor for the machines of one executor. */
  readonly monitorFor: (owner: string) => VmMonitor;
  readonly cgroupHost: CgroupHost;
  readonly registry?: RegistryOptions;
  readonly imageLimits?: Partial<ImageLimits>;
  /** Which images are permitted, and how they are pulled. */
  readonly images?: Partial<ImageOptions>;
  /** The administrator's changes to {@link defaultHardening}. */
  readonly hardening?: Partial<Hardening>;
  /** What is weaker on this host than it could be, in sentences for {@link RuntimeDescription.notes}. */
  readonly notes?: readonly string[];
  /** How egress policies are enforced. */
  readonly egress?: EgressOptions;
  /** Limits of each machine's network. Default: none. */
  readonly bandwidth?: Bandwidth;
  /** The disk with the Docker daemon for jobs that ask for one, or why jobs can't have it. Default: not installed. */
  readonly docker?: DockerDisk | { readonly problem: string };
  /** Begins the names of machines, as `ps` shows them: `[a-z0-9-]`, at most 20 characters. Default: `executor`. */
  readonly namePrefix?: string;
  /** Shell script of the administrator, run as the guest's root before the first step. Default: none. */
  readonly startupScript?: Buffer;
  /** Absolute path of a directory that keeps the disks of workspaces after their jobs. Default: they are removed. */
  readonly keepDisksIn?: string;
  /** Told of faults in the background that cost only time. Default: not reported. */
  readonly onProblem?: (problem: unknown) => void;
}

/** The runtime that runs each job in a virtual machine of its own. */
export interface MicrovmRuntime extends Runtime {
  /**
   * Adds the images of an OCI layout (directory or tar) or of a `docker save` archive. Resolves to their references.
   * @throws {AirlockError} reason `image-invalid`.
   */
  loadImages(archivePath: string, options: Abortable): Promise<string[]>;

  /** The image name of the guest's own system: busybox. No job can know it, since each process has another one. */
  readonly systemImage: string;
}
