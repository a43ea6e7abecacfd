import { type JobView, type LogEntryView, stepIndexes, stepNameOf } from "@airlock/api";

type EntryStatus =
  | "running"
  | "succeeded"
  | "failed"
  /** The attempt ended before the entry's end was reported. */
  | "cut-off";

/** A row of the timeline. */
export type TimelineRow =
  | {
      readonly kind: "entry";
      readonly entry: LogEntryView;
      readonly label: string;
      readonly status: EntryStatus;
      /** Time since the attempt's start, in ms. */
      readonly offsetMs: number;
      readonly durationMs: number;
    }
  /** A step without a log entry: it is still to come, or was never reached. */
  | {
      readonly kind: "step";
      readonly step: JobView["steps"][number];
      readonly label: string;
      readonly status: "pending" | "skipped";
    };

export interface TimelineGroup {
  readonly name: "Setup" | "Steps" | "Teardown";
  readonly rows: readonly TimelineRow[];
  /** From the start of the first row to the end of the last one, in ms. */
  readonly durationMs: number;
}

export interface Timeline {
  readonly groups: readonly TimelineGroup[];
  /** From the attempt's start to its end, or to now: the full width of the bars, in ms. At least 1. */
  readonly spanMs: number;
}

/** The timeline of one attempt. Pure: the caller passes the time, in ms since 1970. */
export function buildTimeline(job: JobView, attemptNumber: number, nowMs: number): Timeline {
  const attempt = job.attempts.find((candidate) => candidate.attempt === attemptNumber);
  const entries = entriesOf(job, attemptNumber);
  const open = attempt === undefined || attempt.state === "processing";
  const starts = entries.map((entry) => Date.parse(entry.startedAt));
  // An executor's clock may be behind the instance's. Bars must not start left of the chart.
  const startMs = Math.min(...starts, attempt ? Date.parse(attempt.startedAt) : Number.POSITIVE_INFINITY);
  const endMs = attempt?.finishedAt ? Date.parse(attempt.finishedAt) : nowMs;
  const rows = entries.map((entry): TimelineRow & { kind: "entry" } => {
    const entryStartMs = Date.parse(entry.startedAt);
    return {
      kind: "entry",
      entry,
      label: entryLabel(job, entry),
      status: entryStatus(entry, open),
      offsetMs: entryStartMs - startMs,
      durationMs: Math.max(0, entry.durationMs ?? endMs - entryStartMs),
    };
  });
  const lastEndMs = Math.max(0, ...rows.map((row) => row.offsetMs + row.durationMs));
  const seen = new Set(rows.filter((row) => groupOf(row.entry.key) === "Steps").map((row) => row.label));
  const steps = job.steps
    .filter((step) => !seen.has(step.key))
    .map((step) => {
      // The state of a step in the job is that of the last attempt.
      const skipped = !open || (attemptNumber === job.attempt && step.state === "skipped");
      return { kind: "step", step, label: step.key, status: skipped ? "skipped" : "pending" } as const;
    });
  const groups = (["Setup", "Steps", "Teardown"] as const).map((name): TimelineGroup => {
    const own = rows.filter((row) => groupOf(row.entry.key) === name);
    const begin = Math.min(...own.map((row) => row.offsetMs));
    const end = Math.max(...own.map((row) => row.offsetMs + row.durationMs));
    return { name, rows: name === "Steps" ? [...own, ...steps] : own, durationMs: own.length > 0 ? end - begin : 0 };
  });
  return {
    groups: groups.filter((group) => group.rows.length > 0),
    spanMs: Math.max(1, lastEndMs, Number.isFinite(startMs) ? endMs - startMs : 0),
  };
}

export function entriesOf(job: JobView, attempt: number): LogEntryView[] {
  return job.entries.filter((entry) => entry.attempt === attempt).sort((a, b) => a.entryId - b.entryId);
}

/**
 * The entry to show by default: the current one if the attempt runs. Else the first failed one, else the last
 * unfinished one, else that of the last step.
 */
export function entryOfInterest(entries: readonly LogEntryView[], attemptIsOpen: boolean): LogEntryView | undefined {
  const work = entries.filter((entry) => groupOf(entry.key) !== "Teardown");
  if (attemptIsOpen) return work.at(-1) ?? entries.at(-1);
  return (
    work.find((entry) => entry.exitCode !== null && entry.exitCode !== 0) ??
    work.findLast((entry) => entry.exitCode === null) ??
    work.findLast((entry) => groupOf(entry.key) === "Steps") ??
    entries.at(-1)
  );
}

function entryStatus(entry: LogEntryView, attemptIsOpen: boolean): EntryStatus {
  if (entry.exitCode === null) return attemptIsOpen ? "running" : "cut-off";
  return entry.exitCode === 0 ? "succeeded" : "failed";
}

/** Entries `setup.…` and `teardown.…` are the executor's own work; all others are the job's. */
function groupOf(key: string): TimelineGroup["name"] {
  if (key.startsWith("setup.")) return "Setup";
  if (key.startsWith("teardown.")) return "Teardown";
  return "Steps";
}

/**
 * `setup.git.fetch` → `git fetch`, `step.docker.test` → `test`, `step.kubernetes.step.0.pre` → `step.0.pre`. Executors
 * from 2022 write `step.docker.0` for the first step, whose label is its key.
 */
export function entryLabel(job: JobView, entry: LogEntryView): string {
  return (
    stepOfEntry(job, entry)?.key ??
    stepNameOf(entry.key) ??
    entry.key.replace(/^(?:setup|teardown)\./, "").replaceAll(".", " ")
  );
}

/**
 * What the entry runs, as its author wrote it. The command of a step's entry only names the file that the executor
 * made of the step's script, so the script of the job replaces it.
 */
export function entryScript(job: JobView, entry: LogEntryView): string {
  const script = stepOfEntry(job, entry)?.commands.join("\n").trim();
  return script || entry.command.join(" ");
}

function stepOfEntry(job: JobView, entry: LogEntryView): JobView["steps"][number] | undefined {
  const index = stepIndexOf(job, entry);
  return index === undefined ? undefined : job.steps[index];
}

/** Index of the job's step that the entry belongs to. `undefined`: the entry is the executor's own work. */
export function stepIndexOf(job: JobView, entry: LogEntryView): number | undefined {
  const attempt = entriesOf(job, entry.attempt);
  const indexes = stepIndexes(
    job.steps.map(({ key }) => key),
    attempt.map(({ key }) => key),
  );
  return indexes[attempt.findIndex(({ entryId }) => entryId === entry.entryId)];
}

/** A row, or neighbouring rows that narrow screens show as one line. */
export type TimelinePart =
  | { readonly kind: "row"; readonly row: TimelineRow }
  | { readonly kind: "fold"; readonly status: FoldedStatus; readonly rows: readonly TimelineRow[] };

type FoldedStatus = "succeeded" | "pending" | "skipped";

/** Fewer rows than this take no more space than their fold would. */
const leastFolded = 3;

/** Folds neighbouring rows of the same status that need no attention. */
export function foldRows(rows: readonly TimelineRow[]): TimelinePart[] {
  const parts: TimelinePart[] = [];
  for (let at = 0; at < rows.length; ) {
    const { status } = rows[at] as TimelineRow;
    let end = at + 1;
    while (rows[end]?.status === status) end += 1;
    const run = rows.slice(at, end);
    const foldable = status === "succeeded" || status === "pending" || status === "skipped";
    if (foldable && run.length >= leastFolded) parts.push({ kind: "fold", status, rows: run });
    else parts.push(...run.map((row) => ({ kind: "row", row }) as const));
    at = end;
  }
  return parts;
}
