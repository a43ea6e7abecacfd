/** A value that Go's `encoding/json` would write. Objects are structs, whose members keep their order. */
export type GoJson =
  | null
  | boolean
  | number
  | string
  | readonly GoJson[]
  | ReadonlyMap<string, GoJson>
  | { readonly [name: string]: GoJson };

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** Writes JSON byte for byte as Go does: without spaces, and with `<`, `>`, `&`, U+2028 and U+2029 escaped. */
export function goJson(value: GoJson): string {
  if (typeof value === "string") return quote(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) return `[${value.map(goJson).join(",")}]`;
  const members = [...(value instanceof Map ? value : Object.entries(value))].map(
    ([name, item]) => `${quote(name)}:${goJson(item)}`,
  );
  return `{${members.join(",")}}`;
}

/** Go sorts the keys of maps. A JavaScript object would put names that look like numbers first. */
export function sortedMap(entries: Iterable<readonly [string, GoJson]>): ReadonlyMap<string, GoJson> {
  return new Map([...entries].sort(([a], [b]) => compareCodePoints(a, b)));
}

function isList(value: object): value is readonly GoJson[] {
  return Array.isArray(value);
}

function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped.
  const escaped = text.toWellFormed().replaceAll(/[\x00-\x1f"\\<>&\u2028\u2029]/g, (character) => {
    return escapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

/** JavaScript compares UTF-16 units, Go compares bytes of UTF-8, which have the order of code points. */
export function compareCodePoints(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const difference = (left[index]?.codePointAt(0) ?? 0) - (right[index]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
