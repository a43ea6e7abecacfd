import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { formatRange, type IpRange, parseRange } from "./ip-range.ts";

export interface ClosedRangesOptions {
  readonly ranges: readonly string[];
  /** Names or addresses; what a name means is looked up again, since it may change. */
  readonly hosts: readonly string[];
  /** Default: as this machine looks names up. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
}

const maxAgeMs = 60_000;
/** A name server that does not answer holds no job up for longer; what was found before stays closed. */
const patienceMs = 2_000;
/** Of hosts whose addresses change all the time the ones seen last count. */
const maxAddresses = 256;

/** Ranges that no policy opens: those that are given, and every address that one of the hosts had since the start. */
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

  /** Looks the hosts up when that was not done for a minute, and answers each new range once. Never rejects. */
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
    // One that has no answer now is asked again at the next occasion.
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
  // Without a zone: the rules know addresses, not interfaces.
  return found.map(({ address }) => address.replace(/%.*$/, ""));
}
