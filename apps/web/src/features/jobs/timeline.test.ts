import type { JobView, LogEntryView } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { jobSummary } from "../../testing/job-summary-fixture.ts";
import { buildTimeline, entryLabel, entryOfInterest, entryScript, foldRows } from "./timeline.ts";

const second = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();

function entry(entryId: number, key: string, start: number, changes: Partial<LogEntryView> = {}): LogEntryView {
  const command = ["sh"];
  return {
    attempt: 1,
    entryId,
    key,
    command,
    startedAt: second(start),
    exitCode: 0,
    durationMs: 1000,
    length: 0,
    notes: 0,
    ...changes,
  };
}

function job(entries: LogEntryView[], state: "processing" | "failed" | "errored" = "processing"): JobView {
  const finishedAt = state === "processing" ? null : second(10);
  const attempt = {
    attempt: 1,
    state,
    executor: "e",
    startedAt: second(0),
    finishedAt,
    failureReason: null,
    failureMessage: null,
  };
  const step = (key: string) => {
    const result = { state: "pending" as const, exitCode: null, durationMs: null };
    return { key, image: "alpine", commands: ["true"], dir: "", secrets: [], ...result };
  };
  return {
    ...jobSummary({ state, attempt: 1 }),
    priority: 0,
    checkout: { depth: 1, tags: false, paths: [] },
    labels: {},
    resources: {},
    egress: "none",
    timeoutMs: null,
    maxWaitMs: null,
    outputs: [],
    diff: false,
    upload: false,
    services: [],
    steps: [step("test"), step("build")],
    exitCode: null,
    attempts: [attempt],
    entries,
    artifacts: [],
    explanation: { code: "running", message: "" },
    warnings: [],
  };
}

const now = Date.parse(second(8));

describe("buildTimeline", () => {
  it("groups entries and shows steps that have not started yet", () => {
    const running = entry(2, "step.docker.test", 3, { exitCode: null, durationMs: null });
    const { groups, spanMs } = buildTimeline(job([entry(1, "setup.git.fetch", 1), running]), 1, now);
    expect(spanMs).toBe(8000);
    expect(groups.map((group) => [group.name, group.rows.map((row) => [row.label, row.status])])).toEqual([
      ["Setup", [["git fetch", "succeeded"]]],
      [
        "Steps",
        [
          ["test", "running"],
          ["build", "pending"],
        ],
      ],
    ]);
    expect(groups[1]?.rows[0]).toMatchObject({ offsetMs: 3000, durationMs: 5000 });
  });

  it("recognizes the steps of an executor from 2022, which names them by position", () => {
    const entries = [
      entry(1, "setup.fs", 0),
      entry(2, "step.docker.0", 1),
      entry(3, "step.docker.1", 2, { exitCode: null }),
    ];
    expect(buildTimeline(job(entries), 1, now).groups[1]?.rows.map((row) => [row.label, row.status])).toEqual([
      ["test", "succeeded"],
      ["build", "running"],
    ]);
  });

  it("shows which steps of a running attempt will not run", () => {
    const running = job([entry(1, "step.docker.test", 1)]);
    const [test, build] = running.steps;
    const skipped = { ...running, steps: [test, { ...build, state: "skipped" }] } as JobView;
    expect(buildTimeline(skipped, 1, now).groups[0]?.rows.map((row) => row.status)).toEqual(["succeeded", "skipped"]);
  });

  it("shows what failed, what was cut off and what was never reached in a finished attempt", () => {
    const failed = job([entry(1, "step.oci.test", 1, { exitCode: 3 })], "failed");
    expect(buildTimeline(failed, 1, now).groups[0]?.rows.map((row) => row.status)).toEqual(["failed", "skipped"]);
    const lost = job([entry(1, "step.oci.test", 1, { exitCode: null, durationMs: null })], "errored");
    expect(buildTimeline(lost, 1, now).groups[0]?.rows[0]).toMatchObject({ status: "cut-off", durationMs: 9000 });
  });

  it("keeps bars inside the chart when the executor's clock is ahead or behind", () => {
    for (const start of [-60, 60]) {
      const { groups, spanMs } = buildTimeline(job([entry(1, "setup.fs", start)]), 1, now);
      const row = groups[0]?.rows[0];
      expect(row?.kind === "entry" && row.offsetMs >= 0 && row.offsetMs + row.durationMs <= spanMs).toBe(true);
    }
  });

  it("shows every step as pending before the first attempt", () => {
    expect(buildTimeline({ ...job([]), attempts: [] }, 0, now).groups[0]?.rows).toHaveLength(2);
  });
});

describe("entryOfInterest", () => {
  const setup = entry(1, "setup.git.fetch", 0);
  const test = entry(2, "step.oci.test", 1);
  const teardown = entry(3, "teardown.fs", 2);
  it("selects the running entry, otherwise the failed one, otherwise the last step", () => {
    expect(entryOfInterest([setup, test], true)).toBe(test);
    const broken = { ...setup, exitCode: 128 };
    expect(entryOfInterest([broken, test, teardown], false)).toBe(broken);
    expect(entryOfInterest([setup, test, teardown], false)).toBe(test);
    expect(entryOfInterest([], true)).toBeUndefined();
  });
  it("does not select the teardown", () => {
    expect(entryOfInterest([setup, test, teardown], true)).toBe(test);
  });
});

describe("entryLabel", () => {
  it.each([
    ["setup.git.fetch", "git fetch"],
    ["step.docker.test", "test"],
    ["step.kubernetes.step.0.pre", "step.0.pre"],
    ["teardown.fs", "fs"],
    ["main", "main"],
    ["step.docker.0", "test"],
    ["step.docker.other", "other"],
  ])("reads %s as %s", (key, label) => {
    const logged = entry(1, key, 0);
    expect(entryLabel(job([logged]), logged)).toBe(label);
  });
});

describe("entryScript", () => {
  it("is the step's own script, not the command that runs the executor's file of it", () => {
    const run = entry(1, "step.oci.build", 0, { command: ["/bin/sh", "/airlock/1.sh"] });
    const { steps, ...rest } = job([entry(0, "step.oci.test", 0), run]);
    const scripts = steps.map((step) => ({ ...step, commands: [`make ${step.key}`, "echo done"] }));
    expect(entryScript({ ...rest, steps: scripts }, run)).toBe("make build\necho done");
  });

  it("is the entry's command if the entry belongs to no step of the job", () => {
    for (const key of ["setup.git.fetch", "step.oci.unknown", "step."]) {
      const other = entry(1, key, 0, { command: ["git", "fetch"] });
      expect(entryScript(job([other]), other)).toBe("git fetch");
    }
  });
});

describe("foldRows", () => {
  const fold = (statuses: readonly (0 | 1 | null)[]) => {
    const entries = statuses.map((exitCode, index) => entry(index + 1, `step.oci.s${index}`, index, { exitCode }));
    const steps = buildTimeline(job(entries), 1, Date.parse(second(20))).groups.find(({ name }) => name === "Steps");
    return foldRows(steps?.rows ?? []).map((part) => (part.kind === "row" ? part.row.status : part.rows.length));
  };

  it("folds three or more green steps in a row, and never what failed or runs", () => {
    expect(fold([0, 0, 0, 1, 0, 0, null])).toEqual([
      3,
      "failed",
      "succeeded",
      "succeeded",
      "running",
      "pending",
      "pending",
    ]);
    expect(fold([1, 1, 1, 1])).toEqual(["failed", "failed", "failed", "failed", "pending", "pending"]);
  });

  it("loses no row", () => {
    const steps = buildTimeline(job([entry(1, "step.oci.test", 0)], "failed"), 1, 0).groups[0]?.rows ?? [];
    const rows = foldRows(steps).flatMap((part) => (part.kind === "row" ? [part.row] : part.rows));
    expect(rows).toEqual(steps);
  });
});
