import { z } from "zod";
import { ExecutorName, maxJobIds, nullableArray, OfferedLabels, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { PlainText, ShownText } from "../primitives/stored-text.ts";

const telemetryText = z.string().max(1000).pipe(ShownText).default("");

/** What an executor reports about itself. Every text may be empty. */
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

/** Airlock's extension of a heartbeat. */
export const HeartbeatExtension = z.object({
  /**
   * The running attempt of each job in the request. A job whose attempt has lapsed is missing from the response's known
   * ids.
   */
  attempts: z.record(z.string().regex(/^\d+$/), Ordinal).default({}),
  runtime: telemetryText,
  runtimeVersion: telemetryText,
  slots: z.int().nonnegative().max(1_000_000).default(1),
  labels: OfferedLabels.default({}),
  /** Unique for each executor process, while names stay the same after a restart. */
  process: telemetryText,
  /** The executor takes no further jobs, finishes the running ones and exits. Nothing can undo that. */
  draining: z.boolean().default(false),
  /**
   * Whether the executor stays without taking jobs, because the instance asked for that. Executors that would exit
   * instead do not send it.
   */
  paused: z.boolean().optional(),
});

/** `POST queue/{queue}/heartbeat`. Without `version: "V2"` the response is a bare array of ids, as in 2022. */
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
  queueNames: z.array(PlainText.max(255)).min(1, "must name at least one queue").max(1000),
  jobIdsByQueue: nullableArray(
    z.object({ queueName: z.string().max(255), jobIds: nullableArray(WireJobId, maxJobIds) }),
    1000,
  ),
  airlock: HeartbeatExtension.optional(),
});
export type MultiQueueHeartbeatRequest = z.input<typeof MultiQueueHeartbeatRequest>;

const answeredId = z.union([z.int(), z.string()]).transform(String);

/**
 * Both forms of the response, as an executor reads them. Ids are texts: `"42"`, or `"42-batches"` on the multi-queue
 * route. A job missing from `knownIds` no longer belongs to the executor. A job in `cancelIds` must be stopped and
 * reported.
 */
export const HeartbeatResponse = z.union([
  z
    .array(answeredId)
    .nullable()
    .transform((knownIds) => ({ knownIds: knownIds ?? [], cancelIds: [] as string[], airlock: undefined })),
  z.object({
    knownIds: nullableArray(answeredId),
    cancelIds: nullableArray(answeredId),
    /**
     * Airlock's extension. `drain`: take no further jobs. With `stay`, the executor does not exit afterwards: it takes
     * jobs again after a response without `drain`.
     */
    airlock: z.object({ drain: z.boolean().default(false), stay: z.boolean().default(false) }).optional(),
  }),
]);
export type HeartbeatResponse = z.output<typeof HeartbeatResponse>;
