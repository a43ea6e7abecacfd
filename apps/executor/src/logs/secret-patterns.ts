import { encodedForms } from "./encoded-forms.ts";
import type { SecretPattern } from "./secret-matcher.ts";

/** From this length on a value is also looked for in encoded forms and line by line. */
const minimumEncodedBytes = 8;
/** A longer value is recognised by its beginning and by its lines. */
const maximumPatternBytes = 64 * 1024;

/**
 * What to search for, so that no secret of the map reaches a log: the values as they are, with other line ends, line by
 * line, and in the forms of `encodedForms`. Not covered: values under 4 bytes (a value of one character would blank the
 * log and protect nothing), encoded forms of values under 8 bytes, compression, encryption, and what a step does to the
 * value on purpose. Redaction is for accidents; a job that means to give a secret away can.
 */
export function secretPatterns(secrets: Readonly<Record<string, string>>): SecretPattern[] {
  const entries = Object.entries(secrets).filter(([value]) => value !== "");
  // All plain values come first: where an encoded form of one secret equals another secret, the latter's name is right.
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
