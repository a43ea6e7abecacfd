/** Top-level names of local networks (RFC 6761, 6762, 8375, and ICANN's `internal`). */
const privateName = /(?:^|\.)(?:localhost|local|internal|home\.arpa)$/;

/**
 * Whether a host name leads to a private network by its form alone: a name without a dot, or below one of the top-level
 * names that the internet does not have. `metadata.google.internal` is one.
 */
export function isPrivateName(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  return !name.includes(".") || privateName.test(name);
}
