let skewMs = 0;

/**
 * Learns from a response's `Date` header how far this machine's clock is from the instance's. The header has whole
 * seconds, so a difference below two seconds counts as none.
 */
export function noteServerDate(header: string | null, nowMs: number): void {
  if (header === null) return;
  const serverMs = Date.parse(header);
  if (Number.isNaN(serverMs)) return;
  const difference = serverMs + 500 - nowMs;
  skewMs = Math.abs(difference) < 2000 ? 0 : difference;
}

/** The current time by the instance's clock, in ms since 1970. Compare the instance's timestamps with this. */
export function serverNow(): number {
  return Date.now() + skewMs;
}
