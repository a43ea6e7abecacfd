import type { SecretPattern } from "./secret-matcher.ts";

/** From this length on a value is also looked for in encoded forms and line by line. */
const minimumEncodedBytes = 8;
/** A longer value is recognised by its beginning and by its lines. */
const maximumPatternBytes = 64 * 1024;

/**
 * What to search for, so that no secret of the map reaches a log: the values as they are, with other line ends, line by
 * line, in base64 (at each of the three places where it may begin in a longer text, standard and URL-safe) and
 * URL-encoded. Not covered: hex, compression, base64 wrapped into lines, and values under 4 bytes. Redaction is for
 * accidents; a job that means to give a secret away can.
 */
export function secretPatterns(secrets: Readonly<Record<string, string>>): SecretPattern[] {
  const entries = Object.entries(secrets).filter(([value]) => value !== "");
  // All plain values come first: where an encoded form of one secret equals another secret, the latter's name is right.
  return [
    ...entries.map(([value, replacement]) => pattern(value, replacement)),
    ...entries.flatMap(([value, replacement]) => [...variants(value)].map((variant) => pattern(variant, replacement))),
  ];
}

function pattern(text: string, replacement: string): SecretPattern {
  return { bytes: Buffer.from(text).subarray(0, maximumPatternBytes), replacement: Buffer.from(replacement) };
}

function variants(value: string): Set<string> {
  const found = new Set<string>();
  if (Buffer.byteLength(value) < minimumEncodedBytes) return found;
  const unixLines = value.replaceAll("\r\n", "\n");
  const trimmed = unixLines.replace(/\n+$/, "");
  for (const text of [unixLines, trimmed, trimmed.replaceAll("\n", "\r\n")]) found.add(text);
  for (const line of trimmed.split("\n").map((text) => text.trim())) {
    if (Buffer.byteLength(line) >= minimumEncodedBytes) found.add(line);
  }
  for (const text of new Set([value, trimmed])) {
    for (const encoded of [...base64Cores(Buffer.from(text)), ...urlEncoded(text)]) found.add(encoded);
  }
  found.delete(value);
  return found;
}

/** The characters of base64 that depend on nothing but these bytes, for each place where they may begin. */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    const core = encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    return [core, core.replaceAll("+", "-").replaceAll("/", "_")];
  });
}

function urlEncoded(text: string): string[] {
  // A lone surrogate has no UTF-8 form, and so no URL-encoded one.
  if (!text.isWellFormed()) return [];
  const encoded = encodeURIComponent(text);
  const strict = encoded.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return [encoded, strict].flatMap((form) => [
    form,
    form.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    form.replaceAll("%20", "+"),
  ]);
}
