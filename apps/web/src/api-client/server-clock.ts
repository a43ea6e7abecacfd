let skewMs = 0;

/**
 * Learns from an answer's `Date` header how far this machine's clock is from the instance's. The header counts whole
 * seconds, so a skew below two seconds is noise and taken for none.
 */
export function noteServerDate(header: string | null, nowMs: number): void {
  if (header === null) return;
  const serverMs = Date.parse(header);
  if (Number.isNaN(serverMs)) return;
  const difference = serverMs + 500 - nowMs;
  skewMs = Math.abs(difference) < 2000 ? 0 : difference;
}

/** Now by the instance's clock, in ms since 1970: what its timestamps are compared with. */
export function serverNow(): number {
  return Date.now() + skewMs;
}
