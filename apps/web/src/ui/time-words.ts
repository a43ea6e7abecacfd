import { formatDuration } from "@airlock/job";

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** `just now`, `12 sec. ago`, `3 hr. ago`, `yesterday`, … */
export function relativeTime(atMs: number, nowMs: number): string {
  const seconds = Math.round((atMs - nowMs) / 1000);
  const distance = Math.abs(seconds);
  if (distance < 5) return "just now";
  if (distance < 60) return relative.format(seconds, "second");
  if (distance < 3600) return relative.format(Math.trunc(seconds / 60), "minute");
  if (distance < 86_400) return relative.format(Math.trunc(seconds / 3600), "hour");
  return relative.format(Math.trunc(seconds / 86_400), "day");
}

/** Date and time in the reader's time zone and language, with the name of the zone. */
export function absoluteTime(atMs: number): string {
  return absolute.format(atMs);
}

/** A duration that still grows. In whole seconds, so that the text does not flicker. */
export function growingDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds}s` : formatDuration(seconds * 1000);
}

/** A duration from a setting: `30m`, not `30m 0s`. */
export function durationLimit(ms: number): string {
  return (ms % 1000 === 0 ? growingDuration(ms) : formatDuration(ms)).replaceAll(/ 0[hms]/g, "");
}
