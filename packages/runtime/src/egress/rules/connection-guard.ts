import type { ConnectionTable } from "../host/connection-table.ts";
import type { RuleTable } from "./rule-table.ts";

/** Fill levels of the connection table at which new connections of sandboxes are paused and resumed. */
const pauseAt = 0.75;
const resumeAt = 0.6;

export interface ConnectionGuardOptions {
  readonly table: Pick<RuleTable, "isPaused" | "pause">;
  readonly read: () => Promise<Pick<ConnectionTable, "size" | "used">>;
  readonly onProblem: (problem: string) => void;
}

/**
 * Reserves a part of the host's connection table for the executor, the instance and other programs. This does not
 * depend on the number of sandboxes or on what earlier ones left in the table.
 */
export class ConnectionGuard {
  readonly #options: ConnectionGuardOptions;

  constructor(options: ConnectionGuardOptions) {
    this.#options = options;
  }

  async check(): Promise<void> {
    const { table, read, onProblem } = this.#options;
    const { used, size } = await read();
    const mustPause = used >= size * (table.isPaused ? resumeAt : pauseAt);
    if (mustPause === table.isPaused) return;
    await table.pause(mustPause);
    onProblem(
      mustPause
        ? `the host's connection table is nearly full (${used} of ${size}); new connections of jobs wait until ${resumeAt * 100} % are in use. A larger table helps: sysctl net.netfilter.nf_conntrack_max`
        : `the host's connection table has room again (${used} of ${size}); jobs can open connections`,
    );
  }
}
