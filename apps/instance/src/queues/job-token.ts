import { createHash, randomBytes } from "node:crypto";

/**
 * Creates the token with which an executor authenticates for a job: 20 random bytes as hex. Only its SHA-256 is stored.
 */
export function createJobToken(): { readonly token: string; readonly sha256: Buffer } {
  const token = randomBytes(20).toString("hex");
  return { token, sha256: hashToken(token) };
}

export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
