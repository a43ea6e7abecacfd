import { z } from "zod";

/** What the database takes as text: no NUL, no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

export const unstorable = "must not contain NUL or half of a character";

/** Text that is kept as it is, and refused where it cannot be. */
export const StoredText = z.string().refine(isStorable, unstorable);

/** Text that must not be lost because of a few characters: those that cannot be kept become U+FFFD. */
export const MendedText = z.string().transform(mend);

function mend(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

const maxCommandWords = 10_000;
/** Of all words together. */
const maxCommandLength = 8 * 1024;

/**
 * The command of a log entry, for people to read. A longer one than 8 Ki characters is cut and ends with `…`: thousands
 * of entries are shown together.
 */
export const LoggedCommand = z.array(z.string()).max(maxCommandWords).transform(shorten);

function shorten(words: readonly string[]): string[] {
  const kept: string[] = [];
  let room = maxCommandLength;
  for (const word of words) {
    // An empty word costs something, too.
    if (room < word.length + 1) return [...kept, `${mend(word.slice(0, Math.max(0, room)))}…`];
    kept.push(mend(word));
    room -= word.length + 1;
  }
  return kept;
}
