/** `star`: any number of characters. */
export type NameToken =
  | { readonly kind: "star" }
  | { readonly kind: "one"; readonly accepts: (character: string) => boolean };

/**
 * Whether a name matches a pattern whole. The time is at most the product of both lengths, whatever a hostile job writes
 * into either.
 */
export function matchStars(tokens: readonly NameToken[], name: ArrayLike<string>): boolean {
  let token = 0;
  let starAt = -1;
  let starTook = 0;
  for (let at = 0; at < name.length; ) {
    const current = tokens[token];
    if (current?.kind === "star") {
      starAt = token;
      starTook = at;
      token += 1;
    } else if (current?.accepts(name[at] ?? "")) {
      token += 1;
      at += 1;
    } else if (starAt >= 0) {
      // Let the last star match one more character. Earlier stars never need to change.
      starTook += 1;
      at = starTook;
      token = starAt + 1;
    } else {
      return false;
    }
  }
  while (tokens[token]?.kind === "star") token += 1;
  return token === tokens.length;
}
