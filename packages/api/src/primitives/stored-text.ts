import { z } from "zod";

/** Whether the database can store the text: no NUL and no unpaired surrogate. */
export function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

export const unstorable = "must not contain NUL or half of a character";

/** Text that is stored unchanged. Text that can't be stored is refused. */
export const StoredText = z.string().refine(isStorable, unstorable);

/**
 * Characters that a reader doesn't see or that change how other text is shown: control characters, formatting and
 * bidirectional controls, zero-width characters, line separators, and others without a glyph.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{DI}]/u;

/** Names, labels and other short text that people compare by eye. Text with hidden characters is refused. */
export const PlainText = StoredText.superRefine((text, context) => {
  const [found] = hidden.exec(text) ?? [];
  if (found === undefined) return;
  context.addIssue({
    code: "custom",
    message: `must not contain control characters or other hidden characters, but contains U+${hexOf(found)}: remove it`,
  });
});

const allHidden = new RegExp(hidden, "gu");

/** Shows hidden characters in an error message, as `\u{202E}`. */
export function escapeHidden(text: string): string {
  return text.replace(allHidden, (found) => `\\u{${hexOf(found)}}`);
}

/** As {@link escapeHidden}, for a message of several lines. */
export function escapeHiddenInLines(text: string): string {
  return text.split("\n").map(escapeHidden).join("\n");
}

/** Writes hidden characters of a JSON text as escapes, which changes nothing of what it means. */
export function escapeHiddenInJson(json: string): string {
  const toEscape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return json.replace(allHidden, (found) => found.split("").map(toEscape).join(""));
}

function hexOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

/** Short text for display, such as a version, that must not be refused: hidden characters become U+FFFD. */
export const ShownText = z.string().transform((text) => storable(text).replace(allHidden, "\ufffd"));

const misleading = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/gu;
/** Tab, line ends, and the escape character of colours. */
const ofMessages = "\t\n\r\u001b";

/**
 * A message of several lines. Characters that control a terminal, change the reading order or start lines outside a
 * terminal become U+FFFD. Colours (escape sequences) stay: the programs that show the message remove them.
 */
export const MessageText = z
  .string()
  .transform((text) => storable(text).replace(misleading, (found) => (ofMessages.includes(found) ? found : "\ufffd")));

/** Text that must not be refused because of a few characters: those that can't be stored become U+FFFD. */
export const StorableText = z.string().transform(storable);

function storable(text: string): string {
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
    if (room < word.length + 1) return [...kept, `${storable(word.slice(0, Math.max(0, room)))}…`];
    kept.push(storable(word));
    room -= word.length + 1;
  }
  return kept;
}
