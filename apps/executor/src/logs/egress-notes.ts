import type { EgressDenial, EgressLimit } from "@airlock/runtime";
import type { LogEntry } from "./job-log.ts";

/** The connections and names that the egress policy denied while one step ran. */
export interface DenialsOfStep extends Disposable {
  /** Names the first denial and the number of others; `null` when there were none. */
  summary(): string | null;
}

/** Notes in the running step's log entry what the egress policy denied and which network limits the job reached. */
export class EgressNotes {
  readonly #count: (kind: EgressDenial["kind"]) => void;
  #tell: ((denial: EgressDenial) => void) | undefined;

  /** @param count Called for each denial. */
  constructor(count: (kind: EgressDenial["kind"]) => void) {
    this.#count = count;
  }

  readonly tell = (denial: EgressDenial): void => {
    this.#count(denial.kind);
    this.#tell?.(denial);
  };

  /** Writes denials into this entry until the result is disposed. */
  during(entry: LogEntry): DenialsOfStep {
    const denied: string[] = [];
    const tell = (denial: EgressDenial) => {
      if (denial.kind !== "limit") denied.push(destinationOf(denial));
      entry.note(`network: ${describeDenial(denial)}`);
    };
    this.#tell = tell;
    return {
      summary: () => {
        const [first, ...more] = denied;
        if (first === undefined) return null;
        return `the egress policy denied ${first}${more.length > 0 ? ` and ${more.length} more, see the log` : ""}`;
      },
      [Symbol.dispose]: () => {
        if (this.#tell === tell) this.#tell = undefined;
      },
    };
  }
}

const limitTexts: Readonly<Record<EgressLimit, string>> = {
  "open-connections": "the job has reached its limit of open connections; new ones are refused until some are closed",
  "new-connections": "the job opens connections faster than its limit; new ones are delayed",
  "look-ups": "the job sends more DNS queries than its limit; some look-ups fail",
};

function describeDenial(denial: EgressDenial): string {
  if (denial.kind === "limit") return limitTexts[denial.limit];
  if (denial.kind === "name" && denial.isOverLimit) {
    return `the job looks up more names than its limit; ${denial.name} and others are refused for a while`;
  }
  return `the egress policy does not allow ${destinationOf(denial)}`;
}

function destinationOf(denial: Exclude<EgressDenial, { kind: "limit" }>): string {
  if (denial.kind === "name") return `the name ${denial.name}`;
  const { address, port, protocol } = denial;
  return `${protocol} to ${address} port ${port}`;
}
