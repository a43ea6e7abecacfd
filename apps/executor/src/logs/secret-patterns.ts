import { encodedForms } from "./encoded-forms.ts";
import type { SecretPattern } from "./secret-matcher.ts";

/** Values of at least this length are also searched for in encoded forms and line by line. */
const minimumEncodedBytes = 8;
/** A longer value is recognized by its beginning and by its lines. */
const maximumPatternBytes = 64 * 1024;

/**
 * Returns the byte patterns that keep all secrets of the map out of logs. A value is matched as it is, with other line
 * endings, line by line, and in the forms of `encodedForms`.
 *
 * Not covered:
 * - values under 4 bytes, since a value of one character would blank the log and protect nothing;
 * - encoded forms of values under 8 bytes;
 * - compression, encryption, and deliberate changes by a step.
 * Redaction only prevents accidents. A job that wants to reveal a secret can do so.
 */
export function secretPatterns(secrets: Readonly<Record<string, string>>): SecretPattern[] {
  const entries = Object.entries(secrets).filter(([value]) => value !== "");
  // All plain values come first. Where an encoded form of one secret equals another secret, the other one's name is
  // correct.
  return [
    ...entries.map(([value, replacement]) => pattern(Buffer.from(value), replacement)),
    ...entries.flatMap(([value, replacement]) => [...variants(value)].map((bytes) => pattern(bytes, replacement))),
  ];
}

function pattern(bytes: Buffer, replacement: string): SecretPattern {
  return { bytes: bytes.subarray(0, maximumPatternBytes), replacement: Buffer.from(replacement) };
}

function variants(value: string): Iterable<Buffer> {
  if (Buffer.byteLength(value) < minimumEncodedBytes) return [];
  const unixLines = value.replaceAll("\r\n", "\n");
  const trimmed = unixLines.replace(/\n+$/, "");
  const plain = new Set([unixLines, trimmed, trimmed.replaceAll("\n", "\r\n")]);
  for (const line of trimmed.split("\n").map((text) => text.trim())) {
    if (Buffer.byteLength(line) >= minimumEncodedBytes) plain.add(line);
  }
  plain.delete(value);
  const found: Buffer[] = [...plain].map((text) => Buffer.from(text));
  for (const text of new Set([value, trimmed])) found.push(...encodedForms(text));
  return found.filter((bytes) => bytes.length >= minimumEncodedBytes);
}
