import { z } from "zod";
import { ExecutorName, maxJobIds, nullableArray, OfferedLabels, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { StoredText } from "../primitives/stored-text.ts";

const telemetryText = StoredText.max(1000).default("");

/** What an executor says of itself; every text may be empty. */
export const Telemetry = z.object({
  os: telemetryText,
  architecture: telemetryText,
  dockerVersion: telemetryText,
  executorVersion: telemetryText,
  gitVersion: telemetryText,
  igniteVersion: telemetryText,
  srcCliVersion: telemetryText,
  prometheusMetrics: z.string().default(""),
});
export type Telemetry = z.output<typeof Telemetry>;

/** Airlock's addition to a heartbeat. */
export const HeartbeatExtension = z.object({
  /** The attempt that runs of each job in the request: a lapsed one is answered as unknown. */
  attempts: z.record(z.string().regex(/^\d+$/), Ordinal).default({}),
  runtime: telemetryText,
  runtimeVersion: telemetryText,
  slots: z.int().nonnegative().max(1_000_000).default(1),
  labels: OfferedLabels.default({}),
  /** Another one for each process: names are kept over restarts. */
  process: telemetryText,
  /** No further jobs are taken; the running ones end. */
  draining: z.boolean().default(false),
});

/** `POST queue/{queue}/heartbeat`. Without `version: "V2"` the answer is a bare array of ids (2022). */
export const HeartbeatRequest = Telemetry.extend({
  executorName: ExecutorName,
  version: z.string().default(""),
  jobIds: nullableArray(WireJobId, maxJobIds),
  airlock: HeartbeatExtension.optional(),
});
export type HeartbeatRequest = z.input<typeof HeartbeatRequest>;

/** `POST queue/heartbeat`. */
export const MultiQueueHeartbeatRequest = Telemetry.extend({
  executorName: ExecutorName,
  version: z.string().default(""),
  queueNames: z.array(StoredText.max(255)).min(1, "must name at least one queue").max(1000),
  jobIdsByQueue: nullableArray(
    z.object({ queueName: z.string().max(255), jobIds: nullableArray(WireJobId, maxJobIds) }),
    1000,
  ),
  airlock: HeartbeatExtension.optional(),
});
export type MultiQueueHeartbeatRequest = z.input<typeof MultiQueueHeartbeatRequest>;

const answeredId = z.union([z.int(), z.string()]).transform(String);

/**
 * Both forms of the answer, as an executor reads them. Ids are texts: `"42"`, or `"42-batches"` on the multi-queue
 * route. A job that is not known is not ours any more; one in `cancelIds` is to be stopped and reported.
 */
export const HeartbeatResponse = z.union([
  z
    .array(answeredId)
    .nullable()
    .transform((knownIds) => ({ knownIds: knownIds ?? [], cancelIds: [] as string[], airlock: undefined })),
  z.object({
    knownIds: nullableArray(answeredId),
    cancelIds: nullableArray(answeredId),
    /** Airlock's addition. `drain`: take no further jobs. */
    airlock: z.object({ drain: z.boolean().default(false) }).optional(),
  }),
]);
export type HeartbeatResponse = z.output<typeof HeartbeatResponse>;
