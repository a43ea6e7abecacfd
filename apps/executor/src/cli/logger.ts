import { type Logger, pino } from "pino";
import type { LogOptions } from "../config/options.ts";

/** The administrator's log on stderr: JSON lines, or one short line per event for people. */
export function createLogger({ level, format }: LogOptions): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const stderr = pino.destination({ fd: 2, sync: true });
  if (format === "json") return pino({ ...options, formatters: { level: (label) => ({ level: label }) } }, stderr);
  return pino(options, { write: (line: string) => stderr.write(condensed(line)) });
}

function condensed(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = pino.levels.labels[Number(level)] ?? "info";
  const values = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === "string" ? quoted(value) : JSON.stringify(value)}`,
  );
  return [String(time).slice(11, 23), name.toUpperCase().padEnd(5), msg, ...values].join(" ").concat("\n");
}

function quoted(text: string): string {
  // Values come from jobs and instances, so escape sequences in them must not reach the terminal.
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text).replace(/[\u007f-\u009f]/g, "?");
}
