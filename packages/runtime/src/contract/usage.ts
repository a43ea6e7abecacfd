/** What the processes of a sandbox use. Each member is absent where the runtime can't measure it. */
export interface SandboxUsage {
  /** Processor time used so far, in ms. Only grows. */
  readonly cpuMs?: number | undefined;
  /** Memory in use now, without cached files that the kernel can drop. */
  readonly memoryBytes?: number | undefined;
  /** Space in use now on the job's disk. */
  readonly diskBytes?: number | undefined;
  readonly network?: NetworkTraffic | undefined;
}

/** Bytes that passed the sandbox's network interface so far. Only grow. */
export interface NetworkTraffic {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export const noTraffic: NetworkTraffic = { receivedBytes: 0, sentBytes: 0 };
