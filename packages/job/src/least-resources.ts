const mebibyte = 2 ** 20;

/**
 * The least that a job may ask for. With less, the kernel refuses the limit (processor time below a millisecond in each
 * tenth of a second), the Docker engine refuses the container (memory), no file system fits (disk), or the OCI runtime lacks the threads that it
 * starts a step with (processes).
 */
export const leastResources = {
  cpus: 0.01,
  memoryBytes: 6 * mebibyte,
  diskBytes: 4 * mebibyte,
  /** A size of 0 would be no limit. */
  shmBytes: 4096,
  pids: 8,
} as const;
