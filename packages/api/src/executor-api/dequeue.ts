import { z } from "zod";
import { ExecutorName, nullableArray, OfferedLabels } from "../primitives/primitives.ts";
import { PlainText, ShownText } from "../primitives/stored-text.ts";

/**
 * Optional features beyond the base protocol. Each side lists those that it supports; a feature is used if both do.
 * - `attempts`: job payloads carry `airlock.attempt`, and every write of the attempt carries it back.
 * - `log-batch`: `POST queue/{queue}/logs` with append-only chunks instead of updates of whole entries.
 * - `log-notes`: `note` events in these batches: messages of the executor itself, separate from the output.
 * - `events`: `GET events`, a stream that delivers cancellations immediately.
 * - `secret-files`: job payloads carry `airlock.secretFiles`, secrets that single steps get as files.
 * - `uploads`: the executor gives the steps of a job with `airlock.upload` a connection for uploads of code indexes.
 * - `docker`: the executor gives the steps of a job with `docker` in `airlock.services` a Docker daemon of their own.
 * - `usage`: `POST queue/{queue}/usage`, what each step used of processor, memory, disk and network over time.
 * - `results`: `PUT queue/{queue}/artifacts`, and the report of an attempt's end includes the result of each step.
 */
export const executorCapabilities = [
  "attempts",
  "log-batch",
  "log-notes",
  "events",
  "results",
  "secret-files",
  "uploads",
  "docker",
  "usage",
] as const;
export type ExecutorCapability = (typeof executorCapabilities)[number];

/**
 * What an executor lacks that all others have, reported among its capabilities.
 * - `container-images-only`: it runs no step whose image is `host`.
 */
export type ExecutorRestriction = "container-images-only";

/** `POST queue/{queue}/dequeue` and `POST queue/dequeue`. Unknown members are ignored, as the protocol requires. */
export const DequeueRequest = z.object({
  executorName: ExecutorName,
  /** Decides the payload's version: 2 from 4.3.0 on and for development builds, else 1. */
  version: z.string().max(255).pipe(ShownText).optional(),
  numCPUs: z.number().nonnegative().max(1_000_000).optional(),
  memory: z.string().max(255).optional(),
  diskSpace: z.string().max(255).optional(),
  /** Multi-queue route only. */
  queues: nullableArray(PlainText.max(255), 1000),
  /** Airlock's extension. Other executors leave it out. */
  airlock: z
    .object({
      /** How long the executor waits for a job, in ms, 0…60000. 0: respond with `204` at once. */
      waitMs: z.int().min(0).max(60_000).default(0),
      capabilities: nullableArray(PlainText.max(255), 100),
      labels: OfferedLabels.default({}),
    })
    .optional(),
});
export type DequeueRequest = z.input<typeof DequeueRequest>;
