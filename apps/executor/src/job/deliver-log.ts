import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { onAbort, startTimer } from "@airlock/async";
import { formatDuration } from "@airlock/job";
import type { Logger } from "pino";
import type { JobOptions } from "../config/options.ts";
import type { JobConnection } from "../instance-client/job-connection.ts";
import { ChunkSink } from "../logs/chunk-sink.ts";
import { JobLog } from "../logs/job-log.ts";
import { SecretMatcher } from "../logs/secret-matcher.ts";
import { secretPatterns } from "../logs/secret-patterns.ts";
import { WholeEntrySink } from "../logs/whole-entry-sink.ts";
import { type JobOutcome, outcomeOfError } from "./job-outcome.ts";
import { type JobInput, removedSecret } from "./read-payload.ts";

/** Grace period for delivering the log of a job that is handed back. The executor's shutdown waits for it. */
const handBackLogMs = 10_000;
/** Grace period for delivering the log of a canceled job. Longer than a hand-back's, because nothing waits for it. */
const canceledLogMs = 30_000;

/** Returns a matcher for all secrets of a job, for use on its log. */
export function jobSecrets({ redactions }: JobInput, sharedSecret: string): SecretMatcher {
  const values = sharedSecret === "" ? redactions : { ...redactions, [sharedSecret]: removedSecret };
  return new SecretMatcher(secretPatterns(values));
}

export interface JobLogContext {
  readonly input: JobInput;
  readonly instance: JobConnection;
  readonly secrets: SecretMatcher;
  /** Directory for log data that overflows memory while the instance is unreachable. */
  readonly spoolDir: string;
  readonly options: JobOptions;
  readonly countCommand: (key: string, exitCode: number, durationMs: number) => void;
}

/** Opens the log of an attempt, in the format that the instance supports. */
export function openJobLog({ input, instance, secrets, spoolDir, options, countCommand }: JobLogContext): JobLog {
  const sink =
    input.logDelivery === "chunks"
      ? new ChunkSink(
          (events, signal) => instance.appendLogs(events, signal),
          join(spoolDir, `${input.name}-${randomBytes(4).toString("hex")}`),
        )
      : new WholeEntrySink({
          add: (entry, signal) => instance.addLogEntry(entry, signal),
          update: (entryId, entry, signal) => instance.updateLogEntry(entryId, entry, signal),
        });
  return new JobLog({
    sink,
    secrets,
    maximumBytes: options.maximumLogBytes,
    maximumBytesPerSecond: options.maximumLogBytesPerSecond,
    onClosed: countCommand,
  });
}

export interface DeliveryContext {
  /** The job's signal without its timeout. */
  readonly outer: AbortSignal;
  readonly deliveryTimeoutMs: number;
  readonly logger: Logger;
  readonly countIncompleteLog: () => void;
}

/**
 * Delivers the rest of a log. The log must arrive before the job's outcome is reported, since the report closes it. The
 * executor waits for an unreachable instance as long as it would for the report itself.
 */
export async function deliverLog(log: JobLog, outcome: JobOutcome, context: DeliveryContext): Promise<void> {
  const { outer, deliveryTimeoutMs, logger, countIncompleteLog } = context;
  const over = new AbortController();
  let timer: Disposable | undefined;
  const endAfter = (ms: number) => {
    timer?.[Symbol.dispose]();
    timer = startTimer(ms, () => over.abort(new Error(`not finished after ${formatDuration(ms)}`)));
  };
  const onStop = () => {
    const { kind, reason } = { reason: null, ...outcomeOfError(undefined, outer) };
    if (kind === "abandoned") over.abort(outer.reason);
    else if (reason === "executor-shutdown") endAfter(handBackLogMs);
    // The job's signal aborts only once, so a later shutdown of the executor could not shorten this wait.
    else endAfter(canceledLogMs);
  };
  endAfter(Math.max(handBackLogMs, deliveryTimeoutMs));
  if (outcome.kind === "abandoned") over.abort(outer.reason);
  using _listener = onAbort(outer, onStop);
  const delivery = await log.finish(over.signal);
  timer?.[Symbol.dispose]();
  if (delivery.kind === "delivered" || outcome.kind === "abandoned") return;
  countIncompleteLog();
  logger.warn(
    { problem: delivery.problem },
    "a part of the job's log was not delivered; the job's result is not affected",
  );
}
