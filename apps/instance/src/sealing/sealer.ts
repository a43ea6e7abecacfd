import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { AirlockError } from "@airlock/job";
import type { Keyring, SecretKey } from "./keyring.ts";

/** What a sealed text belongs to, e.g. `["secret", namespace, queue, name]`: it opens nowhere else. */
export type SealContext = readonly [kind: string, ...names: string[]];

export interface SealedText {
  /** Of the key that it is under, for finding what has to be rotated; the bytes say it, too. */
  readonly keyId: string;
  readonly bytes: Buffer;
}

const cipher = "aes-256-gcm";
const [keyLength, nonceLength, tagLength, keyIdLength] = [32, 12, 16, 8];
const formatVersion = 1;
const headerLength = 1 + keyIdLength;
const wrappedLength = nonceLength + keyLength + tagLength;

/** A sealed text is longer than the text by this. */
export const sealedOverheadBytes = headerLength + wrappedLength + nonceLength + tagLength;

/**
 * Envelope encryption: each text has a key of its own, which is encrypted with one of the keyring's. Rotation encrypts
 * that small key anew and leaves the text alone. Both layers are authenticated together with the context, the outer one
 * with the id of its key, too, so that bytes of another row, or of another key, are refused.
 *
 *     version (1) · key id (8) · nonce (12) · encrypted key (32) · tag (16) · nonce (12) · encrypted text · tag (16)
 */
export class Sealer {
  readonly #keyring: Keyring;

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** Of the key that new texts are under. */
  get keyId(): string {
    return this.#keyring.primary.id;
  }

  seal(context: SealContext, text: string): SealedText {
    const textKey = randomBytes(keyLength);
    return this.#join(context, textKey, encrypt(textKey, associated("text", context), Buffer.from(text)));
  }

  /** @throws {AirlockError} `secret-key-missing`, `secret-damaged`. */
  open(context: SealContext, sealed: Buffer): string {
    const { textKey, rest } = this.#split(context, sealed);
    return decrypt(textKey, associated("text", context), rest, context).toString();
  }

  /**
   * The same text under the newest key.
   * @throws {AirlockError} `secret-key-missing`, `secret-damaged`.
   */
  reseal(context: SealContext, sealed: Buffer): SealedText {
    const { textKey, rest } = this.#split(context, sealed);
    return this.#join(context, textKey, rest);
  }

  #join(context: SealContext, textKey: Buffer, rest: Buffer): SealedText {
    const { primary } = this.#keyring;
    const header = Buffer.concat([Buffer.from([formatVersion]), Buffer.from(primary.id, "hex")]);
    const wrapped = encrypt(primary.bytes, associated("key", context, primary), textKey);
    return { keyId: primary.id, bytes: Buffer.concat([header, wrapped, rest]) };
  }

  #split(context: SealContext, sealed: Buffer): { readonly textKey: Buffer; readonly rest: Buffer } {
    if (sealed.length < sealedOverheadBytes || sealed[0] !== formatVersion) throw damaged(context);
    const keyId = sealed.toString("hex", 1, headerLength);
    const key = this.#keyring.get(keyId);
    if (!key) throw missingKey(describe(context), keyId);
    const wrapped = sealed.subarray(headerLength, headerLength + wrappedLength);
    const textKey = decrypt(key.bytes, associated("key", context, key), wrapped, context);
    return { textKey, rest: sealed.subarray(headerLength + wrappedLength) };
  }
}

/** What has to be set when something is under a key that this instance was not given. */
function missingKey(what: string, keyId: string): AirlockError {
  return new AirlockError(`${what} is encrypted with key ${keyId}, which this instance does not have`, {
    code: "secret-key-missing",
    hint: "Give it that key, too, with AIRLOCK_SECRET_KEY or AIRLOCK_SECRET_KEY_FILE; nothing is lost.",
    reason: "internal",
  });
}

function encrypt(key: Buffer, context: Buffer, text: Buffer): Buffer {
  const nonce = randomBytes(nonceLength);
  const encryption = createCipheriv(cipher, key, nonce, { authTagLength: tagLength }).setAAD(context);
  return Buffer.concat([nonce, encryption.update(text), encryption.final(), encryption.getAuthTag()]);
}

function decrypt(key: Buffer, associatedData: Buffer, bytes: Buffer, context: SealContext): Buffer {
  const nonce = bytes.subarray(0, nonceLength);
  const decryption = createDecipheriv(cipher, key, nonce, { authTagLength: tagLength })
    .setAAD(associatedData)
    .setAuthTag(bytes.subarray(bytes.length - tagLength));
  try {
    return Buffer.concat([decryption.update(bytes.subarray(nonceLength, -tagLength)), decryption.final()]);
  } catch {
    throw damaged(context); // The library's own message only says that it does not fit.
  }
}

function associated(layer: "key" | "text", context: SealContext, key?: SecretKey): Buffer {
  return Buffer.from(JSON.stringify(["airlock", formatVersion, layer, key?.id ?? "", ...context]));
}

function damaged(context: SealContext): AirlockError {
  return new AirlockError(`${describe(context)} cannot be decrypted: what is stored was not encrypted as it`, {
    code: "secret-damaged",
    hint: "Somebody changed the database, or restored a part of it; set the value again.",
    reason: "secret-unavailable",
  });
}

function describe([kind, ...names]: SealContext): string {
  return `${kind} ${JSON.stringify(names.findLast((name) => name !== "") ?? "")}`;
}
