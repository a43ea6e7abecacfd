/** What the executor reports about itself with each heartbeat. */
export interface Telemetry {
  readonly os: string;
  readonly architecture: string;
  readonly dockerVersion: string;
  readonly executorVersion: string;
  readonly gitVersion: string;
  readonly igniteVersion: string;
  readonly srcCliVersion: string;
  readonly prometheusMetrics: string;
  readonly airlock: {
    readonly runtime: string;
    readonly runtimeVersion: string;
    readonly slots: number;
    readonly labels: Record<string, string>;
    /** A different id for each process. The executor's name stays the same over restarts. */
    readonly process: string;
    /** The executor exits once its running jobs have ended. */
    readonly draining: boolean;
    /** The executor stays and takes no jobs until the instance lets it. */
    readonly paused: boolean;
  };
}
