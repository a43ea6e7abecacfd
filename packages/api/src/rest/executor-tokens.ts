import { z } from "zod";
import { QueueName } from "../primitives/primitives.ts";
import { DisplayName } from "./accounts.ts";

const dayMs = 86_400_000;

/** A token with which executors work for one queue. */
export const ExecutorTokenView = z.object({
  id: z.int(),
  name: z.string(),
  queue: z.string(),
  createdAt: z.iso.datetime(),
  /** A user's name, or `administrator`. */
  createdBy: z.string(),
  /** When a token that was replaced expires; `null`: never. */
  expiresAt: z.iso.datetime().nullable(),
  /** To the minute; `null`: never used. */
  lastUsedAt: z.iso.datetime().nullable(),
  lastAddress: z.string().nullable(),
  /** The executors that used it in the last week, latest first. */
  executors: z.array(z.object({ name: z.string(), lastUsedAt: z.iso.datetime() })),
});
export type ExecutorTokenView = z.output<typeof ExecutorTokenView>;
export const ExecutorTokenList = z.object({ tokens: z.array(ExecutorTokenView) });

/** `POST /api/v1/executor-tokens` */
export const CreateExecutorTokenRequest = z.strictObject({ name: DisplayName.min(1), queue: QueueName });
/** `POST /api/v1/executor-tokens/{id}/rotate` */
export const RotateExecutorTokenRequest = z.strictObject({
  /** How long the old token stays valid beside the new one. */
  overlapMs: z
    .int()
    .min(0)
    .max(90 * dayMs)
    .default(dayMs),
});
/** The answer to a creation and to a rotation, and the only one with the token. */
export const CreatedExecutorToken = ExecutorTokenView.extend({ token: z.string() });
/** `DELETE /api/v1/executor-tokens/{id}` */
export const RevokedExecutorToken = z.object({
  /** Jobs of the queue that the token's executors still run. They are lost and retried if their lease ends first. */
  runningJobs: z.array(z.int()),
});
