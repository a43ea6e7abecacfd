import { UpdateQueueRequest } from "@airlock/api";
import { parseBytes, parseDuration } from "@airlock/job";
import { describeIssues } from "@airlock/yaml-source";
import { type Command, InvalidArgumentError } from "commander";
import { UsageError } from "../../context/command-error.ts";
import { parsePositive } from "../../options/number-arguments.ts";

export interface QueueSettingsFlags {
  readonly maxAttempts?: number;
  readonly maxLosses?: number;
  readonly backoff?: number;
  readonly maxBackoff?: number;
  readonly lease?: number;
  readonly heartbeat?: number;
  readonly limit?: number | "none";
  readonly namespaceLimit?: number | "none";
  readonly weight?: number;
  readonly maxLog?: number;
  readonly allowUnenforced?: boolean;
  readonly maxWait?: number | "none";
}

/** Adds the flags for queue settings to `queue create` and `queue update`. */
export function addQueueSettingsFlags(command: Command): Command {
  return command
    .option("--max-attempts <N>", "attempts that may fail because of Airlock; default 3", parsePositive)
    .option("--max-losses <N>", "attempts that may lose their executor; default 3", parsePositive)
    .option("--backoff <DURATION>", "wait before the first retry, doubled each time; default 5s", parseDurationFlag)
    .option("--max-backoff <DURATION>", "longest wait before a retry; default 5m", parseDurationFlag)
    .option(
      "--lease <DURATION>",
      "time without a heartbeat after which an attempt is lost; default 15s",
      parseDurationFlag,
    )
    .option("--heartbeat <DURATION>", "time between heartbeats of an executor; default 5s", parseDurationFlag)
    .option("--limit <N|none>", "jobs that may run at once; default none", parseLimit)
    .option("--namespace-limit <N|none>", "jobs of one namespace that may run at once; default none", parseLimit)
    .option("--weight <N>", "share of an executor's slots among its queues, 1 to 1000; default 1", parsePositive)
    .option("--max-log <SIZE>", "size of the log kept for each attempt; default 256Mi", parseSizeFlag)
    .option(
      "--allow-unenforced <yes|no>",
      "whether executors that ignore a job's egress, timeout, resources, checkout, outputs or diff get it; default no",
      parseYesNo,
    )
    .option(
      "--max-wait <DURATION|none>",
      "time without an executor after which a queued job fails; default none",
      parseDurationOrNone,
    );
}

const flagOfSetting = {
  maxAttempts: "--max-attempts",
  maxLosses: "--max-losses",
  backoffMs: "--backoff",
  backoffMaxMs: "--max-backoff",
  leaseMs: "--lease",
  heartbeatIntervalMs: "--heartbeat",
  concurrencyLimit: "--limit",
  namespaceConcurrencyLimit: "--namespace-limit",
  weight: "--weight",
  maxLogBytes: "--max-log",
  allowUnenforced: "--allow-unenforced",
  maxWaitMs: "--max-wait",
} as const satisfies Record<keyof UpdateQueueRequest, string>;

/**
 * Returns only the settings that were given.
 * @throws {UsageError} naming the flags whose values the instance would refuse.
 */
export function queueSettings(flags: QueueSettingsFlags): UpdateQueueRequest {
  const all = {
    maxAttempts: flags.maxAttempts,
    maxLosses: flags.maxLosses,
    backoffMs: flags.backoff,
    backoffMaxMs: flags.maxBackoff,
    leaseMs: flags.lease,
    heartbeatIntervalMs: flags.heartbeat,
    concurrencyLimit: nullIfNone(flags.limit),
    namespaceConcurrencyLimit: nullIfNone(flags.namespaceLimit),
    weight: flags.weight,
    maxLogBytes: flags.maxLog,
    allowUnenforced: flags.allowUnenforced,
    maxWaitMs: nullIfNone(flags.maxWait),
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const parsed = UpdateQueueRequest.safeParse(given);
  if (parsed.success) return given;
  const problems = describeIssues(parsed.error.issues, { schema: UpdateQueueRequest, input: given }).map(
    ({ path, message }) => {
      const flag = Object.hasOwn(flagOfSetting, path[0] ?? "") ? Reflect.get(flagOfSetting, path[0] ?? "") : undefined;
      return flag === undefined
        ? message
        : `${flag}: ${message}${/Ms$/.test(String(path[0])) ? " (milliseconds)" : ""}`;
    },
  );
  throw new UsageError(problems.join("\n"));
}

function parseDurationFlag(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError("Write it as 15s or 1m30s.");
  return ms;
}

/** commander turns a parser's `null` into an empty text, so parsers return "none". */
function nullIfNone(value: number | "none" | undefined): number | null | undefined {
  return value === "none" ? null : value;
}

function parseDurationOrNone(text: string): number | "none" {
  return text === "none" ? "none" : parseDurationFlag(text);
}

function parseSizeFlag(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined || bytes === 0) throw new InvalidArgumentError("Write it as 512Mi or 1G.");
  return bytes;
}

function parseYesNo(text: string): boolean {
  if (text !== "yes" && text !== "no") throw new InvalidArgumentError("Write yes or no.");
  return text === "yes";
}

function parseLimit(text: string): number | "none" {
  return text === "none" ? "none" : parsePositive(text);
}
