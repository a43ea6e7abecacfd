import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const randomLength = 20;
const form = new RegExp(`^([0-9a-f]{${2 * randomLength}})([0-9a-f]{8})$`);

/**
 * Creates a random token. It ends with a checksum, with which secret scanners tell tokens from other text without asking
 * the instance.
 */
export function newCheckedToken(prefix: string): string {
  const random = randomBytes(randomLength).toString("hex");
  return `${prefix}${random}${checksum(random)}`;
}

export function isCheckedToken(prefix: string, text: string): boolean {
  const [, random, sum] = text.startsWith(prefix) ? (form.exec(text.slice(prefix.length)) ?? []) : [];
  return random !== undefined && sum === checksum(random);
}

/** Only this is stored, so that a copy of the database opens nothing. */
export function tokenDigest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function checksum(random: string): string {
  return crc32(random).toString(16).padStart(8, "0");
}
