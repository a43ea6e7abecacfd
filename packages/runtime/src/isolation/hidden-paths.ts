/**
 * Paths in `/proc` and `/sys` that reveal or control the host: the lists of Docker and containerd, and later findings.
 * The keys are those of `linux` in an OCI bundle.
 */
export const hiddenPaths = {
  maskedPaths: [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
  ],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
} as const;
