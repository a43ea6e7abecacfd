import { hkdfSync } from "node:crypto";
import { AirlockError } from "@airlock/job";

/** A key that encrypts other keys, and its id in the rows that it encrypts. */
export interface SecretKey {
  /** 16 hexadecimal digits, derived from the key by a one-way function. */
  readonly id: string;
  readonly bytes: Buffer;
}

/** The keys that the administrator configured. The first encrypts; all of them decrypt. */
export class Keyring {
  readonly primary: SecretKey;
  readonly #keys: ReadonlyMap<string, SecretKey>;

  constructor(keys: readonly [SecretKey, ...SecretKey[]]) {
    this.primary = keys[0];
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  get ids(): readonly string[] {
    return [...this.#keys.keys()];
  }

  get(id: string): SecretKey | undefined {
    return this.#keys.get(id);
  }
}

const keyBytes = 32;

/**
 * Parses keys of 32 bytes, each as base64 or 64 hexadecimal digits, separated by commas or white space. The newest
 * comes first. Lines that begin with # are comments.
 * @param source Where the text comes from, for the message.
 * @throws {AirlockError} `secret-key-invalid`; its message contains no part of the text.
 */
export function parseKeys(text: string, source: string): Keyring {
  const words = text
    .replaceAll(/^\s*#.*$/gm, "")
    .split(/[\s,]+/)
    .filter((word) => word !== "");
  const [first, ...rest] = words.map((word, index) => {
    const bytes = decode(word);
    if (bytes) return secretKey(bytes);
    throw invalid(`key ${index + 1} of ${source} is not ${keyBytes} bytes as base64 or hexadecimal digits`);
  });
  if (!first) throw invalid(`${source} contains no key`);
  return new Keyring([first, ...rest]);
}

/** Derived, so that neither the id nor encrypted data reveals anything about the given key. */
function secretKey(given: Buffer): SecretKey {
  const derive = (purpose: string, length: number) =>
    Buffer.from(hkdfSync("sha256", given, Buffer.alloc(0), `airlock secrets ${purpose}`, length));
  return { id: derive("key id", 8).toString("hex"), bytes: derive("key encryption", keyBytes) };
}

function decode(word: string): Buffer | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(word)) return Buffer.from(word, "hex");
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) return undefined;
  return Buffer.from(word, "base64");
}

function invalid(problem: string): AirlockError {
  return new AirlockError(problem, {
    code: "secret-key-invalid",
    hint: "Create a key with `openssl rand -base64 32`. Write several keys one per line, newest first.",
  });
}
