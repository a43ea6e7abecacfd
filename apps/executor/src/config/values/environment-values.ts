import { maximumDurationMs, parseBytes, parseDuration } from "@airlock/job";
import { z } from "zod";

/** A duration in the environment, parsed to whole milliseconds. */
export const DurationMs = z
  .string()
  .transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === undefined) {
      context.addIssue({ code: "custom", message: `"${text}" is not a duration: write it as 90s, 30m or 1h30m` });
    }
    return ms ?? 0;
  })
  .refine((ms) => ms <= maximumDurationMs, "must be at most 365d")
  .meta({ values: "a duration of at most a year: `90s`, `30m`, `1h30m`" });

export function durationMs(fallback: string) {
  return z.string().default(fallback).pipe(DurationMs);
}

/** A data size in the environment, parsed to whole bytes. */
export const SizeBytes = z
  .string()
  .transform((text, context) => {
    const bytes = parseBytes(text);
    if (bytes === undefined)
      context.addIssue({
        code: "custom",
        message: `"${text}" is not a size: write it as 512Mi, 12G or a number of bytes`,
      });
    return bytes ?? 0;
  })
  .meta({ values: "a size: `512Mi`, `12G`, or a number of bytes" });

export function sizeBytes(fallback: string) {
  return z.string().default(fallback).pipe(SizeBytes);
}

/** A whole number in the environment. */
export function wholeNumber(fallback: number, minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return z
    .string()
    .default(String(fallback))
    .transform((text, context) => {
      const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
      if (!(value >= minimum && value <= maximum)) {
        const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
        context.addIssue({ code: "custom", message: `"${text}" is not a whole number ${range}` });
      }
      return value;
    })
    .meta({
      values: maximum === Number.MAX_SAFE_INTEGER ? `a whole number, ${minimum} or more` : `${minimum}…${maximum}`,
    });
}

/** A boolean in the environment, with the spellings that the protocol's executors accept. */
export function flag(fallback: boolean) {
  return z
    .string()
    .default(String(fallback))
    .transform((text, context) => {
      if (/^(?:true|t|1|yes)$/i.test(text)) return true;
      if (/^(?:false|f|0|no)$/i.test(text)) return false;
      context.addIssue({ code: "custom", message: `"${text}" is neither true nor false` });
      return fallback;
    })
    .meta({ values: "`true`, `false`" });
}
