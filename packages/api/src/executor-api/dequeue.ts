import { z } from "zod";
import { ExecutorName, nullableArray, OfferedLabels } from "../primitives/primitives.ts";
import { StoredText } from "../primitives/stored-text.ts";

/**
 * What both sides may know beyond the base protocol. A peer lists what it knows; a feature is used when both do.
 * - `attempts`: job payloads carry `airlock.attempt`, and every write of the attempt carries it back.
 * - `log-batch`: `POST queue/{queue}/logs` with append-only chunks in place of whole-entry updates.
 * - `log-notes`: in these batches, `note` events: what the executor itself has to say, apart from the output.
 * - `events`: `GET events`, a stream that brings cancellations at once.
 * - `secret-files`: job payloads carry `airlock.secretFiles`, secrets that single steps get as files.
 * - `results`: `PUT queue/{queue}/artifacts`, and reports of an attempt's end carry how each step ended.
 */
export const executorCapabilities = [
  "attempts",
  "log-batch",
  "log-notes",
  "events",
  "results",
  "secret-files",
] as const;
export type ExecutorCapability = (typeof executorCapabilities)[number];

/** `POST queue/{queue}/dequeue` and `POST queue/dequeue`. Unknown members are ignored, as the protocol wants. */
export const DequeueRequest = z.object({
  executorName: ExecutorName,
  /** Decides the payload's version: 2 from 4.3.0 on and for development builds, else 1. */
  version: z.string().max(255).optional(),
  numCPUs: z.number().nonnegative().max(1_000_000).optional(),
  memory: z.string().max(255).optional(),
  diskSpace: z.string().max(255).optional(),
  /** Multi-queue route only. */
  queues: nullableArray(StoredText.max(255), 1000),
  /** Airlock's extension; its absence means a foreign executor. */
  airlock: z
    .object({
      /** How long the executor is willing to wait for a job, in ms, 0…60000. 0: answer `204` at once. */
      waitMs: z.int().min(0).max(60_000).default(0),
      capabilities: nullableArray(StoredText.max(255), 100),
      labels: OfferedLabels.default({}),
    })
    .optional(),
});
export type DequeueRequest = z.input<typeof DequeueRequest>;
