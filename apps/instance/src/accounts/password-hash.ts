import { type Argon2Parameters, argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { AirlockError } from "@airlock/job";

const argon2Async = promisify(argon2);

interface Cost {
  /** KiB */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** OWASP's recommendation for Argon2id. A stored hash keeps its own cost. */
const cost: Cost = { memory: 19_456, passes: 2, parallelism: 1 };
const saltBytes = 16;
const tagBytes = 32;
/** Each takes `cost.memory` and a thread of Node's pool, which also serves files and DNS. */
const maxRunning = 2;
/** Further callers are refused, so that a flood of sign-ins can't delay the next one for minutes. */
const maxWaiting = 30;

let running = 0;
const waiting: (() => void)[] = [];

async function hash(password: string, salt: Buffer, { memory, passes, parallelism }: Cost): Promise<Buffer> {
  if (running >= maxRunning) {
    if (waiting.length >= maxWaiting) {
      throw new AirlockError("too many people are signing in at the moment", {
        code: "too-many-attempts",
        hint: "Try again in a few seconds.",
      });
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else {
    running += 1;
  }
  try {
    const parameters: Argon2Parameters = {
      message: normalize(password),
      nonce: salt,
      parallelism,
      tagLength: tagBytes,
      memory,
      passes,
    };
    return await argon2Async("argon2id", parameters);
  } finally {
    // The next caller takes this one's place.
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

/** Keyboards encode the same characters in different ways. */
export function normalize(password: string): string {
  return password.normalize("NFKC");
}

/** Returns a hash in the PHC format: `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const tag = await hash(password, salt, cost);
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$${encode(salt)}$${encode(tag)}`;
}

/**
 * Whether the password is the one that was hashed. Without a hash, takes as long as with one and returns false, so that
 * the time doesn't tell whether an account exists.
 */
export async function verifyPassword(password: string, stored: string | null): Promise<boolean> {
  const parsed = stored === null ? null : parse(stored);
  if (stored !== null && parsed === null) throw new Error("a stored password hash has an unknown format");
  const { salt, tag, cost: storedCost } = parsed ?? { salt: Buffer.alloc(saltBytes), tag: null, cost };
  const computed = await hash(password, salt, storedCost);
  return tag !== null && timingSafeEqual(computed, tag);
}

function parse(stored: string): { readonly salt: Buffer; readonly tag: Buffer; readonly cost: Cost } | null {
  const match = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([\w+/]{11,86})\$([\w+/]{43})$/.exec(stored);
  if (!match) return null;
  const [, memory, passes, parallelism, salt = "", tag = ""] = match;
  return {
    salt: Buffer.from(salt, "base64"),
    tag: Buffer.from(tag, "base64"),
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
  };
}

/** base64 without padding, as the PHC format wants it. */
function encode(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
