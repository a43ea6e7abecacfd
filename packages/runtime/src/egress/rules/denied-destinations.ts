import { z } from "zod";
import type { EgressDenial } from "../../contract/index.ts";
import { readSetName, tcp, udp } from "./set-names.ts";

/** A number if the system has no /etc/protocols. */
const Protocol = z.union([
  z.enum(["tcp", "udp"]),
  z.literal(tcp).transform(() => "tcp" as const),
  z.literal(udp).transform(() => "udp" as const),
]);

const Element = z
  .object({ elem: z.object({ val: z.object({ concat: z.tuple([z.string(), Protocol, z.int()]) }) }) })
  .transform(({ elem }) => elem.val.concat);

const Listing = z.object({
  nftables: z.array(
    z.object({ set: z.object({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional() }),
  ),
});

/** Parses `nft -j list sets` into the recent denials of each sandbox, by slot. */
export function parseDenied(listing: unknown): ReadonlyMap<number, readonly EgressDenial[]> {
  const denied = new Map<number, EgressDenial[]>();
  for (const { set } of Listing.parse(listing).nftables) {
    const reported = set && readSetName(set.name);
    if (reported === undefined) continue;
    const elements = set?.elem ?? [];
    const found = denied.get(reported.slot) ?? [];
    denied.set(reported.slot, found);
    if (reported.kind === "denied") found.push(...elements.flatMap(readDestination));
    else if (elements.length > 0) found.push({ kind: "limit", limit: reported.limit });
  }
  return denied;
}

function readDestination(element: unknown): readonly EgressDenial[] {
  const parsed = Element.safeParse(element);
  // The format is unknown: the connection was denied, but can't be reported.
  if (!parsed.success) return [];
  const [address, protocol, port] = parsed.data;
  return [{ kind: "connection", address, port, protocol }];
}

/**
 * Reports each distinct denial once, up to a limit, because more denials of a network scan contain no new information.
 */
export class DenialReporter {
  readonly #report: (denial: EgressDenial) => void;
  readonly #seen = new Set<string>();
  readonly #limit: number;

  constructor(report: (denial: EgressDenial) => void, limit = 100) {
    this.#report = report;
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.#seen.size >= this.#limit;
  }

  add(denial: EgressDenial): void {
    const key = keyOf(denial);
    if (this.isFull || this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#report(denial);
  }
}

function keyOf(denial: EgressDenial): string {
  switch (denial.kind) {
    case "connection":
      return `${denial.protocol} ${denial.address} ${denial.port}`;
    case "name":
      return denial.isOverLimit ? "over the limit" : denial.name;
    case "limit":
      return `limit ${denial.limit}`;
  }
}
