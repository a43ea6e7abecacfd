import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { AirlockError } from "@airlock/job";
import type { Keyring, SecretKey } from "./keyring.ts";

/**
 * What an encrypted text belongs to, e.g. `["secret", namespace, queue, name]`. It can't be decrypted with another
 * context.
 */
export type SealContext = readonly [kind: string, ...names: string[]];

export interface SealedText {
  /** Id of the key, for finding rows to rotate. The bytes contain it, too. */
  readonly keyId: string;
  readonly bytes: Buffer;
}

const cipher = "aes-256-gcm";
const [keyLength, nonceLength, tagLength, keyIdLength] = [32, 12, 16, 8];
const formatVersion = 1;
const headerLength = 1 + keyIdLength;
const wrappedLength = nonceLength + keyLength + tagLength;

/** The length that encryption adds to a text. */
export const sealedOverheadBytes = headerLength + wrappedLength + nonceLength + tagLength;

/**
 * Envelope encryption: each text has its own key, which one of the keyring's keys encrypts. Rotation encrypts only that
 * small key again. Both layers are authenticated with the context, and the outer one also with its key's id. Bytes from
 * another row or key are therefore refused.
 *
 *     version (1) · key id (8) · nonce (12) · encrypted key (32) · tag (16) · nonce (12) · encrypted text · tag (16)
 */
export class Sealer {
  readonly #keyring: Keyring;

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** Id of the key that encrypts new texts. */
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
   * Returns the same text, encrypted with the newest key.
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

/** The error for data that is encrypted with a key that this instance doesn't have. */
function missingKey(what: string, keyId: string): AirlockError {
  return new AirlockError(`${what} is encrypted with key ${keyId}, which this instance does not have`, {
    code: "secret-key-missing",
    hint: "Add that key to AIRLOCK_SECRET_KEY or AIRLOCK_SECRET_KEY_FILE. Nothing is lost.",
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
    throw damaged(context); // The library's own message says nothing more specific.
  }
}

function associated(layer: "key" | "text", context: SealContext, key?: SecretKey): Buffer {
  return Buffer.from(JSON.stringify(["airlock", formatVersion, layer, key?.id ?? "", ...context]));
}

function damaged(context: SealContext): AirlockError {
  return new AirlockError(
    `${describe(context)} cannot be decrypted: the stored data was encrypted for something else`,
    {
      code: "secret-damaged",
      hint: "The database was changed, or only partly restored. Set the value again.",
      reason: "secret-unavailable",
    },
  );
}

function describe([kind, ...names]: SealContext): string {
  return `${kind} ${JSON.stringify(names.findLast((name) => name !== "") ?? "")}`;
}
