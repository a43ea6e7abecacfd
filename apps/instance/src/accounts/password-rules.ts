import { readCommonPasswords } from "./common-passwords.ts";
import { normalize } from "./password-hash.ts";

const minimumLength = 12;
/** Fewer different characters are a pattern. */
const minimumDifferent = 5;
/** Rows of keyboards, and the alphabet and digits in order. */
const sequences = ["abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm"].flatMap(
  (row) => [row, [...row].reverse().join("")],
);

/** Unpacked when a password is chosen for the first time. */
let common: ReadonlySet<string> | undefined;

/**
 * Says why a password is refused; `null`: it is not. There are no rules about kinds of characters, because they make
 * passwords harder to remember and not to guess (NIST SP 800-63B).
 * @param name The user's name.
 */
export function passwordProblem(password: string, name: string): string | null {
  const text = normalize(password);
  if ([...text].length < minimumLength) return `must have at least ${minimumLength} characters`;
  const plain = text.toLowerCase();
  if (new Set(plain).size < minimumDifferent) return `must have at least ${minimumDifferent} different characters`;
  if (name.length >= 4 && plain.includes(name)) return "must not contain the user's name";
  const unit = /^(.+?)\1+$/u.exec(plain)?.[1];
  if (unit !== undefined && [...unit].length < minimumLength) return "must not repeat one part";
  common ??= readCommonPasswords();
  // "Password1234!" is as easy to guess as "password".
  const core = plain.replace(/^[^\p{L}]+/u, "").replace(/[^\p{L}]+$/u, "");
  const rest = [...plain].length - [...core].length;
  const isCommon = common.has(plain) || sequences.some((row) => row.includes(core)) || (rest > 0 && common.has(core));
  return isCommon ? "is one of the most common passwords, or such a password with digits or signs" : null;
}
