/**
 * Prefix of the executor's lines in the protocol's whole-entry format, where the two streams have only lines. Airlock's
 * instance accepts notes as separate events, which no output can imitate.
 */
const ownMark = "[airlock]";

/** Formats lines of the executor: each line of the text begins with the mark. */
export function ownLine(text: string): string {
  return `${ownMark} ${text.trimEnd().replaceAll("\n", `\n${ownMark} `)}\n`;
}

/** How much of a line is inspected. No real line has more escape sequences and spaces before its first words. */
const inspectedBytes = 4096;

/**
 * Whether a reader could mistake a step's line for the executor's. Readers do not see escape sequences, control
 * characters and invisible characters. A carriage return starts the line over.
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
  // Fast path: most lines begin with another printable character.
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
