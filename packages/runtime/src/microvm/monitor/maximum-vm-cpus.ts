/** Firecracker's limit. One limit for all monitors, so that a job does not depend on which one a machine has. */
export const maximumVmCpus = 32;
