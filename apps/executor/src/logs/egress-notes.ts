import type { EgressDenial } from "@airlock/runtime";
import type { LogEntry } from "./job-log.ts";

/** What the egress policy denied while one step ran. */
export interface DenialsOfStep extends Disposable {
  /** In words, the first of them and how many more; `null`: there were none. */
  summary(): string | null;
}

/** Tells in the log of the step that runs what the job's egress policy denied it. */
export class EgressNotes {
  readonly #count: (kind: EgressDenial["kind"]) => void;
  #tell: ((denial: EgressDenial) => void) | undefined;

  /** @param count called for each denial. */
  constructor(count: (kind: EgressDenial["kind"]) => void) {
    this.#count = count;
  }

  readonly tell = (denial: EgressDenial): void => {
    this.#count(denial.kind);
    this.#tell?.(denial);
  };

  /** Until it is disposed of, denials stand in this entry. */
  during(entry: LogEntry): DenialsOfStep {
    const denied: string[] = [];
    const tell = (denial: EgressDenial) => {
      denied.push(destinationOf(denial));
      entry.note(`network: ${describeDenial(denial)}`);
    };
    this.#tell = tell;
    return {
      summary: () => {
        const [first, ...more] = denied;
        if (first === undefined) return null;
        return `the egress policy denied it ${first}${more.length > 0 ? ` and ${more.length} more, see its log` : ""}`;
      },
      [Symbol.dispose]: () => {
        if (this.#tell === tell) this.#tell = undefined;
      },
    };
  }
}

function describeDenial(denial: EgressDenial): string {
  if (denial.kind === "name" && denial.isOverLimit) {
    return `the job looks up more names than a job may; ${denial.name} and others are refused for a while`;
  }
  return `the egress policy does not allow ${destinationOf(denial)}`;
}

function destinationOf(denial: EgressDenial): string {
  if (denial.kind === "name") return `the name ${denial.name}`;
  const { address, port, protocol } = denial;
  return `${protocol} to ${address} port ${port}`;
}
