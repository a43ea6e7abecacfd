import { type DecodedPacket, decode } from "dns-packet";
import { normalizeName } from "./answer-filter.ts";

export interface UpstreamQuestion {
  readonly name: string;
  readonly type: string;
}

/** Decoding a malicious packet takes time quadratic in its length. */
export const maxResponseBytes = 8192;

/** Parses the answer to our question. `undefined` for any other message, which is ignored. */
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
    // The message is not valid DNS.
    return undefined;
  }
}

export function rcodeOf(packet: DecodedPacket): string {
  // The published types lack this field.
  return (packet as DecodedPacket & { readonly rcode: string }).rcode;
}
