import { CreateQueueRequest, type QueueView } from "@airlock/api";
import { formatBytes, parseBytes, parseDuration } from "@airlock/job";

/** The settings of a queue as typed. */
export type QueueValues = Readonly<Record<QueueField, string>> & { readonly allowUnenforced: boolean };

export const queueFields = [
  "name",
  "maxAttempts",
  "maxLosses",
  "backoffMs",
  "backoffMaxMs",
  "leaseMs",
  "heartbeatIntervalMs",
  "concurrencyLimit",
  "namespaceConcurrencyLimit",
  "weight",
  "maxLogBytes",
  "maxWaitMs",
] as const;
export type QueueField = (typeof queueFields)[number];

/** The settings of a queue, or the defaults of a new one. */
export function queueValues(queue?: QueueView): QueueValues {
  const of = queue ?? { ...CreateQueueRequest.parse({ name: "new" }), name: "" };
  return {
    name: of.name,
    maxAttempts: String(of.maxAttempts),
    maxLosses: String(of.maxLosses),
    backoffMs: exactDuration(of.backoffMs),
    backoffMaxMs: exactDuration(of.backoffMaxMs),
    leaseMs: exactDuration(of.leaseMs),
    heartbeatIntervalMs: exactDuration(of.heartbeatIntervalMs),
    concurrencyLimit: of.concurrencyLimit === null ? "" : String(of.concurrencyLimit),
    namespaceConcurrencyLimit: of.namespaceConcurrencyLimit === null ? "" : String(of.namespaceConcurrencyLimit),
    weight: String(of.weight),
    maxLogBytes: exactSize(of.maxLogBytes),
    allowUnenforced: of.allowUnenforced ?? false,
    maxWaitMs: of.maxWaitMs === null ? "" : exactDuration(of.maxWaitMs),
  };
}

export type ParsedQueue =
  | { readonly kind: "request"; readonly request: CreateQueueRequest }
  | { readonly kind: "invalid"; readonly problems: ReadonlyMap<string, string> };

/** Parses what was typed and reports all problems at once. */
export function parseQueue(values: QueueValues): ParsedQueue {
  const problems = new Map<string, string>();
  const read = (field: QueueField, parse: (text: string) => number | undefined, form: string) => {
    const parsed = parse(values[field].trim());
    if (parsed === undefined) problems.set(field, form);
    return parsed ?? 0;
  };
  const count = (field: QueueField) => read(field, wholeNumber, "must be a whole number");
  const duration = (field: QueueField) => read(field, parseDuration, "must be a duration such as 15s or 5m");
  const limit = (field: QueueField) => (values[field].trim() === "" ? null : count(field));
  const request: CreateQueueRequest = {
    name: values.name.trim(),
    maxAttempts: count("maxAttempts"),
    maxLosses: count("maxLosses"),
    backoffMs: duration("backoffMs"),
    backoffMaxMs: duration("backoffMaxMs"),
    leaseMs: duration("leaseMs"),
    heartbeatIntervalMs: duration("heartbeatIntervalMs"),
    concurrencyLimit: limit("concurrencyLimit"),
    namespaceConcurrencyLimit: limit("namespaceConcurrencyLimit"),
    weight: count("weight"),
    maxLogBytes: read("maxLogBytes", parseBytes, "must be a size such as 256Mi"),
    allowUnenforced: values.allowUnenforced,
    maxWaitMs: values.maxWaitMs.trim() === "" ? null : duration("maxWaitMs"),
  };
  const checked = CreateQueueRequest.safeParse(request);
  for (const issue of checked.error?.issues ?? []) {
    const field = String(issue.path[0]);
    if (!problems.has(field)) problems.set(field, issue.message);
  }
  return problems.size > 0 ? { kind: "invalid", problems } : { kind: "request", request };
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,12}$/.test(text) ? Number(text) : undefined;
}

/** The size with a unit if that is exact, else in bytes. */
function exactSize(bytes: number): string {
  const text = formatBytes(bytes).replace(/ (\w)iB$/, "$1i");
  return parseBytes(text) === bytes ? text : String(bytes);
}

/** The duration in all units that it needs, such as `1d2h5s`. */
function exactDuration(ms: number): string {
  if (ms % 1000 !== 0) return `${ms}ms`;
  const seconds = ms / 1000;
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const text = parts.map(([count, unit]) => (count > 0 ? `${count}${unit}` : "")).join("");
  return text || "0s";
}
