import { z } from "zod";
import { StoredText } from "./stored-text.ts";

/**
 * Go encodes an empty slice or map as `null`: accepted wherever a list is expected.
 * @param maxLength Default: no limit of its own. What comes from a peer that is not trusted has one.
 */
export function nullableArray<T extends z.ZodType>(item: T, maxLength = Number.MAX_SAFE_INTEGER) {
  return z
    .array(item)
    .max(maxLength)
    .nullish()
    .transform((list) => list ?? []);
}

/** A job id on the wire: a number or its decimal text, depending on the peer's generation. */
export const WireJobId = z
  .union([z.int().positive(), z.string().regex(/^[1-9]\d{0,15}$/)])
  .transform((id) => Number(id))
  .refine(Number.isSafeInteger, "not a job id");

export const QueueName = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
    "lower-case letters, digits, '.', '_' and '-', at most 63 characters",
  );

export const ExecutorName = StoredText.min(1, "must not be empty").max(255);

const maxInt32 = 2 ** 31 - 1;

/** An attempt, or the position of a log entry: counted from 1. */
export const Ordinal = z.int().positive().max(maxInt32);

/** -1 stands for a process that a signal ended. */
export const ExitCode = z
  .int()
  .min(-maxInt32 - 1)
  .max(maxInt32);

/** The most jobs that one request of an executor may name. */
export const maxJobIds = 10_000;

/** What an executor offers, by name. */
export const OfferedLabels = z
  .record(StoredText.max(255), StoredText.max(255))
  .refine((labels) => Object.keys(labels).length <= 100, "at most 100 labels");
