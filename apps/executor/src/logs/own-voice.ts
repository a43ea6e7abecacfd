/**
 * Begins the executor's lines in the protocol's whole-entry form, which has nothing but lines of the two streams.
 * Airlock's instance takes notes as events of their own, which no output can imitate.
 */
const ownMark = "[airlock]";

/** Lines of the executor; each line of the text begins with the mark. */
export function ownLine(text: string): string {
  return `${ownMark} ${text.trimEnd().replaceAll("\n", `\n${ownMark} `)}\n`;
}

/** More escape sequences and spaces than this before a line's first words are nobody's work. */
const inspectedBytes = 4096;

/**
 * Whether a line of a step would be read as the executor's by somebody who sees no escape sequences, control characters
 * and invisible characters. After a carriage return a line begins anew.
 */
export function looksLikeOwnLine(line: Buffer): boolean {
  let start = 0;
  while (start < line.length) {
    const next = line.indexOf(carriageReturn, start);
    const end = next === -1 ? line.length : next;
    if (beginsWithMark(line.subarray(start, Math.min(end, start + inspectedBytes)))) return true;
    start = end + 1;
  }
  return false;
}

function beginsWithMark(line: Buffer): boolean {
  // Most lines begin with another printable character.
  const first = line[0] ?? 0;
  if (first > space && first < delete_ && first !== bracket) return false;
  const visible = line
    .toString("utf8")
    .replaceAll(escapeSequence, "")
    .replaceAll(/[^\p{L}\p{N}\p{P}\p{S}]/gu, "");
  return visible.toLowerCase().startsWith(ownMark.slice(0, -1));
}

const carriageReturn = 13;
const space = 0x20;
const delete_ = 0x7f;
const bracket = 0x5b;
/** CSI sequences, strings such as OSC that end on the line, and other sequences of two or three characters. */
const escapeSequence =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  /(?:\u001b\[|\u009b)[\u0020-\u003f]*[\u0040-\u007e]|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[\u0020-\u002f]*[\u0030-\u007e]/g;
