import { createHash, timingSafeEqual } from "node:crypto";

/** Compares hashes in constant time, so that the duration reveals neither the expected text nor its length. */
export function secretEqual(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
