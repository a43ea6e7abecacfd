/** What the administrator wants virtual machines to run with. */
export interface MonitorSettings {
  /** EXECUTOR_VM_MONITOR */
  readonly monitor: "auto" | "firecracker" | "qemu";
  /** EXECUTOR_VM_ACCELERATOR */
  readonly accelerator: "auto" | "kvm" | "tcg";
  /** EXECUTOR_QEMU: absolute path of `qemu-system-x86_64`. Default: the one on the system's search path. */
  readonly qemuPath?: string;
  /** EXECUTOR_FIRECRACKER: absolute path. Default: the one on the system's search path. */
  readonly firecrackerPath?: string;
  /** EXECUTOR_JAILER: absolute path of Firecracker's jailer. Default: the one on the system's search path. */
  readonly jailerPath?: string;
}
