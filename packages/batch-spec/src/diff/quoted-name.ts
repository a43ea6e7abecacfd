const simple: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  t: "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  '"': '"',
  "\\": "\\",
};

/** Reads a name in git's quotation marks at an offset. Returns its bytes and the offset after it. */
export function readQuotedName(
  line: string,
  start: number,
): { readonly name: string; readonly end: number } | undefined {
  if (line[start] !== '"') return undefined;
  let name = "";
  for (let index = start + 1; index < line.length; index++) {
    const character = line[index] ?? "";
    if (character === '"') return { name, end: index + 1 };
    if (character !== "\\") {
      name += character;
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(line.slice(index + 1, index + 4));
    if (octal) {
      name += String.fromCharCode(Number.parseInt(octal[0], 8));
      index += 3;
      continue;
    }
    const letter = line[index + 1] ?? "";
    if (!Object.hasOwn(simple, letter)) return undefined;
    name += simple[letter];
    index += 1;
  }
  return undefined;
}
