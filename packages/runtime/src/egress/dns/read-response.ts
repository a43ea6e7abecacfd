import { type DecodedPacket, decode } from "dns-packet";
import { normalizeName } from "./answer-filter.ts";

export interface UpstreamQuestion {
  readonly name: string;
  readonly type: string;
}

/** Decoding takes time in the square of the length, when the packet is made for it. */
export const maxResponseBytes = 8192;

/** The answer to a question of ours; `undefined` for anything else, which is dropped as if it had not come. */
export function readResponse(message: Buffer, id: number, question: UpstreamQuestion): DecodedPacket | undefined {
  if (message.length > maxResponseBytes) return undefined;
  try {
    const packet = decode(message);
    const [asked, ...more] = packet.questions ?? [];
    const matches =
      packet.type === "response" &&
      packet.id === id &&
      more.length === 0 &&
      asked?.type === question.type &&
      normalizeName(asked.name) === question.name;
    return matches ? packet : undefined;
  } catch {
    // Not DNS.
    return undefined;
  }
}

export function rcodeOf(packet: DecodedPacket): string {
  // Missing from the published types.
  return (packet as DecodedPacket & { readonly rcode: string }).rcode;
}
