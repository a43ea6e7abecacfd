const mebibyte = 2 ** 20;

/**
 * The minimum that a job may request. With less:
 * - cpus: the kernel refuses the limit, which is below a millisecond per tenth of a second
 * - memory: the Docker engine refuses the container
 * - disk: no file system fits
 * - processes: the OCI runtime can't create the threads that it needs to start a step
 */
export const leastResources = {
  cpus: 0.01,
  memoryBytes: 6 * mebibyte,
  diskBytes: 4 * mebibyte,
  /** Not 0: that would mean unlimited. */
  shmBytes: 4096,
  pids: 8,
} as const;
