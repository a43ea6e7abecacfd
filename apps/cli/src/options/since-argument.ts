import { parseDuration } from "@airlock/job";
import { InvalidArgumentError } from "commander";

/** Parses a duration before now, such as `2h`, or a time, such as `2026-08-01` or `2026-08-01T10:00Z`, to ISO form. */
export function parseSince(text: string): string {
  const ms = parseDuration(text);
  const time = ms === undefined && /^\d{4}-\d{2}-\d{2}/.test(text) ? localTime(text) : Date.now() - (ms ?? Number.NaN);
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError("Write it as 30m, 2h or 7d, or as 2026-08-01 or 2026-08-01T10:00.");
  }
  return date.toISOString();
}

/** JavaScript reads a date without a time as UTC, but a date with a time in the local zone. */
function localTime(text: string): number {
  return Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text);
}
