import { isUtf8 } from "node:buffer";

const longest = 300;

/**
 * Formats a file's name for people: on one line, without characters that affect terminals or text direction, truncated.
 */
export function shownName(name: Buffer): string {
  const text = isUtf8(name) ? name.toString() : bytewise(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  const special = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"\\]/g;
  const safe = text.replace(special, (character) =>
    character === '"' || character === "\\" ? `\\${character}` : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return `"${safe.length > longest ? `${safe.slice(0, longest)}…` : safe}"`;
}

function bytewise(name: Buffer): string {
  return [...name].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `<${byte.toString(16)}>`)).join("");
}
