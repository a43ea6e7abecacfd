/**
 * Formats a size for the offer to an instance, without rounding it. A job that asks for the executor's limit must fit
 * into the offer. The protocol's instances read `12G`, and a plain number as bytes. They don't read `512Mi`.
 */
export function offeredSize(bytes: number): string {
  if (bytes > 0 && bytes % 1e9 === 0) return `${bytes / 1e9}G`;
  return bytes > 0 && bytes % 1e6 === 0 ? `${bytes / 1e6}M` : String(bytes);
}
