import { z } from "zod";

/** Go encodes an empty slice or map as `null`: accepted wherever a list is expected. */
export function nullableArray<T extends z.ZodType>(item: T) {
  return z
    .array(item)
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

export const ExecutorName = z.string().min(1, "must not be empty").max(255);
