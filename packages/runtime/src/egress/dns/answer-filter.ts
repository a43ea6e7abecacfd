import type { Answer } from "dns-packet";
import { type IpFamily, type IpRange, parseRange } from "../addresses/ip-range.ts";
import { touches } from "../addresses/special-ranges.ts";

export interface FilteredAnswer {
  /** The records to pass on: the chain of aliases from the question's name, and the records at its end. */
  readonly answers: readonly Answer[];
  readonly addresses: readonly { readonly family: IpFamily; readonly address: string; readonly ttl: number }[];
  /** Whether an address was removed because it is closed. */
  readonly hadClosed: boolean;
}

const maxAliases = 16;
const maxRecords = 32;
/** Caches in the sandbox must not keep an answer longer than its addresses stay open. */
const maxTtl = 3600;

/**
 * Keeps only the records of an upstream's answer that answer the question. Drops records of other names, which could
 * poison a cache or open an address that the name does not have. Also drops closed addresses (DNS rebinding).
 */
export function filterAnswer(
  question: { readonly name: string; readonly type: string },
  answers: readonly Answer[],
  closed: readonly IpRange[],
): FilteredAnswer {
  const kept: Answer[] = [];
  const addresses: { family: IpFamily; address: string; ttl: number }[] = [];
  let hadClosed = false;
  let owner = normalizeName(question.name);

  const seen = new Set([owner]);
  for (let hops = 0; question.type !== "CNAME" && hops < maxAliases; hops += 1) {
    const alias = answers.find((each) => each.type === "CNAME" && normalizeName(each.name) === owner);
    if (alias?.type !== "CNAME") break;
    owner = normalizeName(alias.data);
    if (seen.has(owner)) break;
    seen.add(owner);
    kept.push(withTtl(alias));
  }
  for (const answer of answers) {
    if (answer.type !== question.type || normalizeName(answer.name) !== owner) continue;
    if (kept.length >= maxRecords) break;
    if (answer.type === "A" || answer.type === "AAAA") {
      const range = addressRange(answer.data, answer.type === "A" ? 4 : 6);
      if (range === undefined || touches(closed, range)) {
        hadClosed = true;
        continue;
      }
      addresses.push({ family: range.family, address: answer.data, ttl: ttlOf(answer) });
    }
    kept.push(withTtl(answer));
  }
  return { answers: kept, addresses, hadClosed };
}

/** Lower case, without the trailing dot. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function addressRange(address: string, family: IpFamily): IpRange | undefined {
  try {
    const range = parseRange(address);
    return range.family === family ? range : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function withTtl(answer: Answer): Answer {
  return { ...answer, ttl: ttlOf(answer) } as Answer;
}

function ttlOf(answer: Answer): number {
  const ttl = "ttl" in answer && typeof answer.ttl === "number" ? answer.ttl : 0;
  return Math.min(Math.max(ttl, 0), maxTtl);
}
