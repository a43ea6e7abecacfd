import type { EgressDenial } from "@airlock/runtime";
import type { LogEntry } from "./job-log.ts";

/** Tells in the log of the step that runs what the job's egress policy denied it. */
export class EgressNotes {
  readonly #count: () => void;
  #entry: LogEntry | undefined;

  /** @param count called for each denial. */
  constructor(count: () => void) {
    this.#count = count;
  }

  readonly tell = (denial: EgressDenial): void => {
    this.#count();
    this.#entry?.note(describeDenial(denial));
  };

  /** Until it is disposed of, denials stand in this entry. */
  during(entry: LogEntry): Disposable {
    this.#entry = entry;
    return {
      [Symbol.dispose]: () => {
        if (this.#entry === entry) this.#entry = undefined;
      },
    };
  }
}

function describeDenial(denial: EgressDenial): string {
  if (denial.kind === "name") return `network: the egress policy does not allow the name ${denial.name}`;
  const { address, port, protocol } = denial;
  return `network: the egress policy does not allow ${protocol} to ${address} port ${port}`;
}
