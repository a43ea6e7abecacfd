/**
 * Matches characters that control a terminal, change the reading order of a line, or start a new line outside a
 * terminal: C0 (without tab), DEL, C1, the bidirectional controls, the deprecated format characters U+206A to U+206F,
 * and the separators U+2028 and U+2029.
 * Returns a new global RegExp each time: set `lastIndex` before `exec`.
 */
export function unprintable(): RegExp {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it searches for control characters
  return /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/g;
}

/** Whether it is a line or paragraph separator. Terminals show nothing for these; browsers start a new line. */
export function isLineSeparator(code: number): boolean {
  return code === 0x2028 || code === 0x2029;
}

/** Replaces each unprintable character by `replacement`, so that columns stay aligned. */
export function replaceUnprintable(text: string, replacement: string): string {
  return text.replace(unprintable(), replacement);
}
