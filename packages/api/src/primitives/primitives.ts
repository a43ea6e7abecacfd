import { z } from "zod";
import { PlainText } from "./stored-text.ts";

/**
 * A list that may be `null`, which is how Go encodes an empty slice or map.
 * @param maxLength Default: unlimited. Set it for input from untrusted peers.
 */
export function nullableArray<T extends z.ZodType>(item: T, maxLength = Number.MAX_SAFE_INTEGER) {
  return z
    .array(item)
    .max(maxLength)
    .nullish()
    .transform((list) => list ?? []);
}

/** A job id in a message: a number or its decimal text, depending on the version of the peer. */
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

export const ExecutorName = PlainText.min(1, "must not be empty").max(255).regex(/\S/, "must not consist of spaces");

const maxInt32 = 2 ** 31 - 1;

/** The number of an attempt, or the position of a log entry; both start at 1. */
export const Ordinal = z.int().positive().max(maxInt32);

/** -1 means that a signal ended the process. */
export const ExitCode = z
  .int()
  .min(-maxInt32 - 1)
  .max(maxInt32);

/** Maximum number of jobs in one request of an executor. */
export const maxJobIds = 10_000;

/** The labels that an executor offers, by name. */
export const OfferedLabels = z
  .record(PlainText.max(255), PlainText.max(255))
  .refine((labels) => Object.keys(labels).length <= 100, "at most 100 labels");
