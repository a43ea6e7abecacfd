/** Shows invisible and direction-changing characters as escapes, so that a reviewer sees what is really there. */
export function visibleText(text: string): string {
  return text.replace(deceptive, (character) =>
    character === "\r" ? "␍" : `\\u{${character.charCodeAt(0).toString(16)}}`,
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: it searches for control characters
const deceptive = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
