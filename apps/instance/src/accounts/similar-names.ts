/**
 * Reduces a name to what it looks like: names with the same result are hard to tell apart in many fonts. Names are
 * lower-case ASCII letters, digits and hyphens, so look-alikes of other alphabets and of other case can't occur.
 */
export function lookOf(name: string): string {
  return name.replaceAll("0", "o").replaceAll("1", "l").replaceAll("rn", "m").replaceAll("vv", "w");
}
