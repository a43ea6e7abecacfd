import type { DecodedPacket } from "dns-packet";
import {
  type Answer,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { IpFamily, IpRange } from "../addresses/ip-range.ts";
import { type FilteredAnswer, filterAnswer, normalizeName } from "./answer-filter.ts";
import { decideQuery, type ResolverPolicy } from "./query-policy.ts";
import { rcodeOf, type UpstreamQuestion } from "./read-response.ts";

/** An address to open before the sandbox learns it. */
export interface AddressToPin {
  readonly family: IpFamily;
  readonly address: string;
  readonly ttl: number;
}

export interface Pinned {
  /** The requested addresses that are open now. */
  readonly opened: ReadonlySet<string>;
  /** Whether some addresses stay closed because the sandbox has opened too many. */
  readonly isFull: boolean;
}

export interface QueryContext {
  readonly policy: ResolverPolicy;
  /** Addresses that no answer may contain. */
  readonly closed: readonly IpRange[];
  /** Whether the sandbox may ask for this name now. */
  readonly mayAsk: (name: string) => boolean;
  readonly ask: (question: UpstreamQuestion) => Promise<DecodedPacket | undefined>;
  /** Opens the addresses, as many as the sandbox has room for; `undefined` if that fails. `ports` null: all ports. */
  readonly pin: (addresses: readonly AddressToPin[], ports: readonly number[] | null) => Promise<Pinned | undefined>;
  readonly onDenied: (name: string, isOverLimit: boolean) => void;
}

const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
type Rcode = keyof typeof rcodes;

/** No real query is longer: a name of 255 bytes, its type and class, and an OPT record with a cookie. */
const maxQueryBytes = 512;
const headerBytes = 12;
const maxUdpPayload = 1232;

/**
 * Answers one query of a sandbox; `undefined` if the message is not a query. Never forwards bytes from either side:
 * question and answer are parsed, checked and encoded again.
 */
export async function resolveQuery(
  message: Buffer,
  transport: "udp" | "tcp",
  context: QueryContext,
): Promise<Buffer | undefined> {
  if (message.length < headerBytes || message.length > maxQueryBytes) return undefined;
  // Answering a response could make two resolvers send to each other forever.
  if ((message.readUInt8(2) & 0x80) !== 0) return undefined;
  const query = readQuery(message);
  if (query === undefined) return encode({ type: "response", id: message.readUInt16BE(0), flags: rcodes.FORMERR });

  const reply = (rcode: Rcode, answers: readonly Answer[] = []): Buffer => {
    const packet = (flags: number, records: readonly Answer[]): Packet => ({
      type: "response",
      id: query.id,
      flags: RECURSION_DESIRED | RECURSION_AVAILABLE | flags | rcodes[rcode],
      questions: [{ name: query.question.name, type: query.question.type as "A" }],
      answers: [...records],
    });
    const bytes = encode(packet(0, answers));
    return transport === "udp" && bytes.length > query.payloadBytes ? encode(packet(TRUNCATED_RESPONSE, [])) : bytes;
  };
  if (query.opcode !== "QUERY") return reply("NOTIMP");
  if (query.question.class !== "IN") return reply("REFUSED");

  const name = normalizeName(query.question.name);
  const { type } = query.question;
  const decision = decideQuery(context.policy, name, type);
  if (decision.kind === "refuse") {
    if (decision.isDenial) context.onDenied(name, false);
    return reply(decision.code);
  }
  if (decision.kind === "empty") return reply("NOERROR");
  if (!context.mayAsk(name)) {
    context.onDenied(name, true);
    return reply("REFUSED");
  }

  const response = await context.ask({ name, type });
  if (response === undefined) return reply("SERVFAIL");
  const filtered = filterAnswer({ name, type }, response.answers ?? [], context.closed);
  if (filtered.hadClosed && filtered.addresses.length === 0) context.onDenied(name, false);
  if (decision.ports === undefined || filtered.addresses.length === 0) {
    return reply(answerCode(response, filtered), filtered.answers);
  }
  const pinned = await context.pin(filtered.addresses, decision.ports);
  // Addresses that stay closed are useless to the sandbox.
  const answers = filtered.answers.filter((answer) => !isAddress(answer) || pinned?.opened.has(answer.data));
  if (answers.some(isAddress)) return reply("NOERROR", answers);
  if (pinned?.isFull) context.onDenied(name, true);
  return reply("SERVFAIL");
}

function isAddress(answer: Answer): answer is Answer & { readonly data: string } {
  return answer.type === "A" || answer.type === "AAAA";
}

/** A name whose addresses are all closed still exists, since it may have other records. */
function answerCode(response: DecodedPacket, filtered: FilteredAnswer): Rcode {
  return rcodeOf(response) === "NXDOMAIN" && !filtered.hadClosed ? "NXDOMAIN" : "NOERROR";
}

interface Query {
  readonly id: number;
  readonly opcode: string;
  readonly question: { readonly name: string; readonly type: string; readonly class: string };
  /** The longest UDP answer that the client accepts. */
  readonly payloadBytes: number;
}

function readQuery(message: Buffer): Query | undefined {
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((offset) => message.readUInt16BE(offset));
  // Check this before decoding, which would allocate memory for as many records as the header claims.
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additionals ?? 0) > 1) return undefined;
  try {
    const packet = decode(message);
    const [question] = packet.questions ?? [];
    if (!question) return undefined;
    const [option] = packet.additionals ?? [];
    const offered = option?.type === "OPT" ? option.udpPayloadSize : 512;
    return {
      id: packet.id ?? 0,
      opcode: (packet as DecodedPacket & { readonly opcode: string }).opcode,
      question: { name: question.name, type: question.type, class: question.class ?? "IN" },
      payloadBytes: Math.min(Math.max(offered, 512), maxUdpPayload),
    };
  } catch {
    return undefined;
  }
}
