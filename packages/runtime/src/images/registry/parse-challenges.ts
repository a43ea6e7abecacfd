/** One way to authenticate that a server offers. */
export interface Challenge {
  /** The scheme in lower case: `basic`, `bearer`, … */
  readonly scheme: string;
  /** Parameters by lower-case name. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const space = "[ \\t]*";
const parameter = new RegExp(`(${token})${space}=${space}(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`, "y");
/** A value without a name, as sent with `Negotiate`. `=` is only padding at its end. */
const token68 = new RegExp(`[ \\t]+[A-Za-z0-9._~+/-]+=*(?=${space}(?:,|$))`, "y");
const scheme = new RegExp(`(${token})(?=[ \\t,]|$)`, "y");
const separators = /[ \t,]+/y;

/**
 * Parses the challenges of a `WWW-Authenticate` header, in order. Several header lines may be joined by commas. Parsing
 * stops at the first syntax error, so that nothing is guessed.
 * https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { readonly scheme: string; readonly parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match) at = pattern.lastIndex;
    return match ?? undefined;
  };
  take(separators);
  while (at < header.length) {
    const current = challenges.at(-1);
    // Commas separate both parameters and challenges. Only the `=` tells them apart.
    const found = take(parameter);
    if (found) {
      const [, name = "", quoted, plain = ""] = found;
      if (!current) return [];
      const key = name.toLowerCase();
      if (!current.parameters.has(key)) current.parameters.set(key, quoted?.replaceAll(/\\(.)/g, "$1") ?? plain);
    } else {
      const name = take(scheme)?.[1];
      if (name === undefined) return challenges;
      challenges.push({ scheme: name.toLowerCase(), parameters: new Map() });
      take(token68);
    }
    if (at < header.length && !take(separators)) return challenges;
  }
  return challenges;
}
