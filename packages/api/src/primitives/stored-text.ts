import { z } from "zod";

/** Whether the database can store the text: no NUL and no unpaired surrogate. */
export function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

export const unstorable = "must not contain NUL or half of a character";

/** Text that is stored unchanged. Text that can't be stored is refused. */
export const StoredText = z.string().refine(isStorable, unstorable);

/** Text that must not be refused because of a few characters: those that can't be stored become U+FFFD. */
export const MendedText = z.string().transform(mend);

function mend(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

const maxCommandWords = 10_000;
/** Limit on all words together, in UTF-16 code units. */
const maxCommandLength = 8 * 1024;

/**
 * The command of a log entry, for display. Cut after 8 Ki characters and marked with `…`, because thousands of entries
 * are shown together.
 */
export const LoggedCommand = z.array(z.string()).max(maxCommandWords).transform(shorten);

function shorten(words: readonly string[]): string[] {
  const kept: string[] = [];
  let room = maxCommandLength;
  for (const word of words) {
    // Count each word as one more, so that empty words also count.
    if (room < word.length + 1) return [...kept, `${mend(word.slice(0, Math.max(0, room)))}…`];
    kept.push(mend(word));
    room -= word.length + 1;
  }
  return kept;
}
