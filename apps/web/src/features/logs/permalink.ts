/** Lines selected by a URL's fragment, from 1, inclusive: `#L120` or `#L120-L130`. */
export interface LineRange {
  readonly first: number;
  readonly last: number;
}

export function parseLineRange(hash: string): LineRange | undefined {
  const match = /^#L(\d{1,9})(?:-L?(\d{1,9}))?$/.exec(hash);
  if (!match) return undefined;
  const a = Number(match[1]);
  const b = Number(match[2] ?? match[1]);
  if (a < 1 || b < 1) return undefined;
  return { first: Math.min(a, b), last: Math.max(a, b) };
}

export function formatLineRange({ first, last }: LineRange): string {
  return first === last ? `#L${first}` : `#L${first}-L${last}`;
}
