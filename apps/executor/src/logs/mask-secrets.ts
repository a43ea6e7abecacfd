import type { SecretMatcher } from "./secret-matcher.ts";

const mask = Buffer.from("SECRET_REMOVED");

/** Bytes that are whole, with the same word in place of each secret; the very same buffer when there is none in it. */
export function maskSecrets(secrets: SecretMatcher, bytes: Buffer): Buffer {
  const output: Buffer[] = [];
  let coveredUntil = 0;
  for (const { start, end } of secrets.matches(bytes)) {
    if (start >= coveredUntil) output.push(bytes.subarray(coveredUntil, start), mask);
    coveredUntil = Math.max(coveredUntil, end);
  }
  return output.length === 0 ? bytes : Buffer.concat([...output, bytes.subarray(coveredUntil)]);
}
