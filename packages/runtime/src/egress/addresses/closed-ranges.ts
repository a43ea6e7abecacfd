import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { formatRange, type IpRange, parseRange } from "./ip-range.ts";

export interface ClosedRangesOptions {
  readonly ranges: readonly string[];
  /** Names or addresses. Names are looked up again regularly, since their addresses may change. */
  readonly hosts: readonly string[];
  /** Default: the C library's `getaddrinfo`. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
}

const maxAgeMs = 60_000;
/** A slow name server delays a job by at most this time. Addresses that were found earlier stay closed. */
const patienceMs = 2_000;
/**
 * Maximum number of remembered addresses. For hosts whose addresses change constantly, the most recently seen ones
 * count.
 */
const maxAddresses = 256;

/** Ranges that no policy opens: the given ones, and every address that one of the hosts has had since the start. */
export class ClosedRanges {
  readonly #fixed: readonly IpRange[];
  readonly #hosts: readonly string[];
  readonly #lookUp: (host: string) => Promise<readonly string[]>;
  readonly #found = new Map<string, IpRange>();
  #lookedUpAtMs = Number.NEGATIVE_INFINITY;
  #lookingUp: Promise<void> | undefined;
  readonly #untold: IpRange[] = [];

  constructor({ ranges, hosts, lookUp = systemLookUp }: ClosedRangesOptions) {
    this.#fixed = ranges.map(parseRange);
    this.#hosts = hosts;
    this.#lookUp = lookUp;
  }

  get ranges(): readonly IpRange[] {
    return [...this.#fixed, ...this.#found.values()];
  }

  /** Looks up the hosts unless that was done within the last minute. Resolves to each new range once. Never rejects. */
  async refresh(nowMs: number): Promise<readonly IpRange[]> {
    if (this.#hosts.length > 0 && nowMs - this.#lookedUpAtMs >= maxAgeMs) {
      this.#lookingUp ??= this.#lookUpAll(nowMs).finally(() => {
        this.#lookingUp = undefined;
      });
      await Promise.race([this.#lookingUp, sleep(patienceMs, undefined, { ref: false })]);
    }
    return this.#untold.splice(0);
  }

  async #lookUpAll(nowMs: number): Promise<void> {
    const answers = await Promise.allSettled(this.#hosts.map((host) => this.#lookUp(host)));
    // If a lookup failed, the next call repeats it.
    if (answers.every(({ status }) => status === "fulfilled")) this.#lookedUpAtMs = nowMs;
    for (const answer of answers) {
      for (const range of answer.status === "fulfilled" ? answer.value.map(parseRange) : []) {
        const key = formatRange(range);
        if (!this.#found.has(key)) this.#untold.push(range);
        this.#found.delete(key);
        this.#found.set(key, range);
      }
    }
    for (const key of [...this.#found.keys()].slice(0, -maxAddresses)) this.#found.delete(key);
  }
}

async function systemLookUp(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true });
  // Remove the zone, because the rules match addresses, not interfaces.
  return found.map(({ address }) => address.replace(/%.*$/, ""));
}
