/** Formats `2026-08-01T10:00:00Z`, seen three minutes later, as `3m ago`. */
export function relativeTime(timestamp: string, now: Date): string {
  const seconds = Math.round((now.getTime() - Date.parse(timestamp)) / 1000);
  // The instance's clock may be ahead of this machine's.
  if (seconds < 2) return "now";
  if (seconds < 120) return `${seconds}s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h ago`;
  return `${Math.round(seconds / 86_400)}d ago`;
}
