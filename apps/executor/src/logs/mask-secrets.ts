import type { SecretMatcher } from "./secret-matcher.ts";

const mask = Buffer.from("SECRET_REMOVED");

/** Replaces each secret in complete bytes by the same word. Returns the same buffer when it contains no secret. */
export function maskSecrets(secrets: SecretMatcher, bytes: Buffer): Buffer {
  const output: Buffer[] = [];
  let coveredUntil = 0;
  for (const { start, end } of secrets.matches(bytes)) {
    if (start >= coveredUntil) output.push(bytes.subarray(coveredUntil, start), mask);
    coveredUntil = Math.max(coveredUntil, end);
  }
  return output.length === 0 ? bytes : Buffer.concat([...output, bytes.subarray(coveredUntil)]);
}
