import type { JobView, LogEntryView } from "@airlock/api";

type EntryStatus =
  | "running"
  | "succeeded"
  | "failed"
  /** It was running when its attempt ended without telling its end. */
  | "cut-off";

/** One line of the timeline. */
export type TimelineRow =
  | {
      readonly kind: "entry";
      readonly entry: LogEntryView;
      readonly label: string;
      readonly status: EntryStatus;
      /** From the attempt's start, in ms. */
      readonly offsetMs: number;
      readonly durationMs: number;
    }
  /** A step without log: still to come, or never reached. */
  | {
      readonly kind: "step";
      readonly step: JobView["steps"][number];
      readonly label: string;
      readonly status: "pending" | "skipped";
    };

export interface TimelineGroup {
  readonly name: "Setup" | "Steps" | "Teardown";
  readonly rows: readonly TimelineRow[];
  /** From the first row's start to the last one's end, in ms. */
  readonly durationMs: number;
}

export interface Timeline {
  readonly groups: readonly TimelineGroup[];
  /** From the attempt's start to its end or now: the whole width of the bars, in ms, more than 0. */
  readonly spanMs: number;
}

/** What one attempt did when. Pure: the caller brings the clock, in ms since 1970. */
export function buildTimeline(job: JobView, attemptNumber: number, nowMs: number): Timeline {
  const attempt = job.attempts.find((candidate) => candidate.attempt === attemptNumber);
  const entries = entriesOf(job, attemptNumber);
  const open = attempt === undefined || attempt.state === "processing";
  const starts = entries.map((entry) => Date.parse(entry.startedAt));
  // An executor's clock may run behind the instance's: bars never begin left of the chart.
  const startMs = Math.min(...starts, attempt ? Date.parse(attempt.startedAt) : Number.POSITIVE_INFINITY);
  const endMs = attempt?.finishedAt ? Date.parse(attempt.finishedAt) : nowMs;
  const rows = entries.map((entry): TimelineRow & { kind: "entry" } => {
    const entryStartMs = Date.parse(entry.startedAt);
    return {
      kind: "entry",
      entry,
      label: entryLabel(entry.key),
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
      // What a step is without a log, its results know only of the last attempt.
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

/** The entry to show when the reader chose none: what runs now, else what failed, else the last step's. */
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

/** `setup.…` and `teardown.…` are the executor's own work, all else is the job's. */
function groupOf(key: string): TimelineGroup["name"] {
  if (key.startsWith("setup.")) return "Setup";
  if (key.startsWith("teardown.")) return "Teardown";
  return "Steps";
}

/** `setup.git.fetch` → `git fetch`, `step.docker.test` → `test`, `step.kubernetes.step.0.pre` → `step.0.pre`. */
export function entryLabel(key: string): string {
  const step = /^step\.[^.]+\.(.+)$/.exec(key);
  if (step?.[1] !== undefined) return step[1];
  return key.replace(/^(?:setup|teardown)\./, "").replaceAll(".", " ");
}
