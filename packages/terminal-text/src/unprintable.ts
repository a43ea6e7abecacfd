/**
 * Characters that a terminal obeys, that change the reading order of a line, or that begin a new line outside a
 * terminal: C0 (without tab), DEL, C1, the bidirectional controls, the deprecated format characters U+206A to U+206F,
 * and the separators U+2028 and U+2029. Global and without state of its own: set `lastIndex` before `exec`.
 */
export function unprintable(): RegExp {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  return /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/g;
}

/** The separators of lines and paragraphs. Terminals show nothing for them; browsers begin a new line. */
export function isLineSeparator(code: number): boolean {
  return code === 0x2028 || code === 0x2029;
}

/** One `replacement` for each unprintable character, so that columns stay where they are. */
export function replaceUnprintable(text: string, replacement: string): string {
  return text.replace(unprintable(), replacement);
}
