// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what some of these tests are about
import { setTimeout as delay } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import type { JobLiveEvent, JobView } from "@airlock/api";
import { describe, expect, it } from "vitest";
import {
  answerJson,
  chunk,
  completedJob,
  entry,
  failedJob,
  jobView,
  refuse,
  sendEvents,
  stubInstance,
} from "../testing/stub-instance.ts";
import { testContext } from "../testing/test-context.ts";
import { type FollowOptions, followJob } from "./follow-job.ts";

/** Follows job 7 with these events in its stream. `job` is its final state. */
async function follow(
  events: readonly JobLiveEvent[],
  job: JobView = completedJob,
  options: FollowOptions & { readonly isTerminal?: boolean } = {},
) {
  await using instance = await stubInstance({
    "GET jobs/7/events": (_, response) => {
      sendEvents(response, [...events, { kind: "end" }]);
      response.end();
    },
    "GET jobs/7": (_, response) => answerJson(response, job),
  });
  const context = testContext({ isTerminal: options.isTerminal ?? false });
  const code = await followJob(context, instance.client, 7, options);
  const { stdout, stderr } = context.printed;
  // If stderr is a pipe, the first line shows the mark of all lines that are not the job's output.
  const mark = /^(\[airlock [0-9a-f]{16}\]) Only lines .*\n/.exec(stderr);
  const own = mark?.[1] === undefined ? stderr : stderr.slice(mark[0].length).replaceAll(`${mark[1]} `, "");
  return { code, stdout, stderr: own, raw: stderr };
}

const running: JobLiveEvent = { kind: "job", job: jobView() };
const step: JobLiveEvent = { kind: "entry", entry: entry() };

describe("following a job", () => {
  it("prints the steps' output byte for byte if stdout is a pipe, and everything else to stderr", async () => {
    const bytes = Buffer.from([0, 255, 27, 93, 13, 10, 7]);
    const { code, stdout, stderr } = await follow([
      running,
      step,
      chunk(0, bytes),
      chunk(7, "warned\n", { stream: "stderr" }),
    ]);
    expect(code).toBe(0);
    expect(stdout).toBe(bytes.toString());
    expect(stderr).toBe("job 7: running on executor-1\n▸ main  alpine:3.20\nwarned\n✔ job 7 completed in 3.2s\n");
  });

  it("names steps by their keys, even for an executor from 2022 that numbers them", async () => {
    const [main] = jobView().steps;
    const steps = ["test", "pack"].map((key) => ({ ...(main ?? expect.fail()), key }));
    const { stderr } = await follow([
      { kind: "job", job: jobView({ stepKeys: ["test", "pack"], steps }) },
      { kind: "entry", entry: entry({ entryId: 1, key: "step.docker.0", exitCode: 0 }) },
      { kind: "entry", entry: entry({ entryId: 2, key: "step.docker.1", exitCode: 3, durationMs: 40 }) },
    ]);
    expect(stderr).toContain("▸ test  alpine:3.20\n▸ pack  alpine:3.20\n  pack exited with 3 after 40ms\n");
  });

  it("exits with the job's exit code and shows why the job failed", async () => {
    const failed = entry({ exitCode: 3, durationMs: 40, length: 0 });
    const { code, stderr } = await follow([running, step, { kind: "entry", entry: failed }], failedJob);
    expect(code).toBe(3);
    expect(stderr).toContain("main exited with 3 after 40ms");
    expect(stderr.endsWith('✖ job 7 failed: step "main" exited with 3\n')).toBe(true);
  });

  it.each([
    ["canceled", { state: "canceled", exitCode: 1 }, "✖ job 7 was canceled"],
    [
      "errored",
      { state: "errored", exitCode: 1, failureMessage: "the disk is full" },
      "✖ job 7 errored: the disk is full",
    ],
    ["stopped by its timeout", { state: "failed", exitCode: 1, failureReason: "timeout" }, "✖ job 7 failed: timeout"],
  ] as const)("exits with 1 when the job was %s", async (_, end, line) => {
    const { code, stderr } = await follow([running], jobView(end));
    expect(code).toBe(1);
    expect(stderr).toContain(line);
  });

  it("shows the executor's own work in one line, and its output only when it failed", async () => {
    const fetch = entry({ key: "setup.git.fetch", entryId: 1 });
    const image = entry({ key: "setup.image", entryId: 2 });
    const { stdout, stderr } = await follow(
      [
        running,
        { kind: "entry", entry: fetch },
        chunk(0, "10%\r20%\rdone\n"),
        { kind: "entry", entry: { ...fetch, exitCode: 0, durationMs: 312, length: 13 } },
        { kind: "entry", entry: image },
        chunk(0, "10%\rno such \u001b]0;x\u0007image\n", { entryId: 2 }),
        { kind: "entry", entry: { ...image, exitCode: 1, durationMs: 5, length: 28 } },
      ],
      failedJob,
    );
    expect(stdout).toBe("");
    expect(stderr).toContain("· setup.git.fetch 312ms\n  no such image\n  setup.image exited with 1 after 5ms\n");
    expect(stderr).not.toContain("done");
  });

  it("does not report an entry's end before the last of its output", async () => {
    const ended = entry({ exitCode: 2, durationMs: 9, length: 6 });
    const { stderr } = await follow(
      [
        running,
        step,
        { kind: "entry", entry: ended },
        chunk(0, "abc", { stream: "stderr" }),
        chunk(3, "def", { stream: "stderr" }),
      ],
      failedJob,
    );
    expect(stderr).toContain("abcdef\n  main exited with 2");
    expect(stderr.match(/▸ main/g)).toHaveLength(1);
  });

  it("shows why the job waits, once for each reason", async () => {
    const waiting = (message: string, code = "waiting"): JobLiveEvent => ({
      kind: "job",
      job: jobView({ state: "queued", attempt: 0, executor: null, explanation: { code, message } }),
    });
    const { stderr } = await follow([
      waiting("3 jobs are before it"),
      waiting("2 jobs are before it"),
      waiting("No executor is connected", "no-executor"),
    ]);
    expect(stderr.match(/jobs are before it/g)).toHaveLength(1);
    expect(stderr).toContain("job 7: No executor is connected\n");
  });

  it("reports attempts that ended before the current one", async () => {
    const attempt = {
      attempt: 1,
      state: "errored" as const,
      executor: "executor-1",
      startedAt: "2026-08-01T10:00:00.000Z",
      finishedAt: "2026-08-01T10:00:01.000Z",
      failureReason: "lease-lost" as const,
      failureMessage: "executor-1 fell silent",
    };
    const again: JobLiveEvent = { kind: "job", job: jobView({ attempt: 2, attempts: [attempt] }) };
    const { stderr } = await follow([running, again, again]);
    expect(stderr.match(/attempt 1 errored: executor-1 fell silent/g)).toHaveLength(1);
  });

  it("prints events as JSON, one per line", async () => {
    const { code, stdout } = await follow([running, step, chunk(0, "hi\n")], failedJob, { json: true });
    const kinds = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(kinds).toEqual(["job", "entry", "chunk", "end"]);
    expect(code).toBe(3);
  });

  it("prints only the output of the requested attempt", async () => {
    const second: JobLiveEvent = { kind: "entry", entry: entry({ attempt: 2 }) };
    const { stdout } = await follow(
      [running, step, chunk(0, "first"), second, chunk(0, "second", { attempt: 2 })],
      completedJob,
      { attempt: 2 },
    );
    expect(stdout).toBe("second");
  });
});

describe("messages of the executor", () => {
  const note = (noteId: number, offset: number, text: string): JobLiveEvent => ({
    kind: "note",
    attempt: 1,
    entryId: 1,
    noteId,
    offset,
    text,
  });
  const ended = entry({ exitCode: 137, durationMs: 9, length: 4, notes: 1 });
  /** Lines from a vulnerability report: each looks like a message of the executor on some terminal. */
  const forged =
    "[airlock] forged plainly\n[air\u001b[mlock] forged with a colour\n[air\u0001lock] forged\n  executor: forged\n";

  it("are separate lines before the end of their entry, and appear once", async () => {
    const { stdout, stderr } = await follow(
      [
        running,
        { kind: "entry", entry: ended },
        chunk(0, "out\n"),
        note(1, 4, "killed: out of memory\nreally"),
        { kind: "entry", entry: ended },
        note(1, 4, "killed: out of memory\nreally"),
      ],
      failedJob,
    );
    expect(stdout).toBe("out\n");
    expect(stderr).toContain(
      "  executor: killed: out of memory\n  executor: really\n  main exited with 137 after 9ms\n",
    );
    expect(stderr.match(/killed/g)).toHaveLength(1);
  });

  it("can't be confused with output when stderr is a pipe", async () => {
    const events = [running, step, chunk(0, forged, { stream: "stderr" }), note(1, forged.length, "true")];
    const { raw } = await follow(events, failedJob);
    const [first = "", ...lines] = raw.trimEnd().split("\n");
    const mark = first.slice(0, first.indexOf("]") + 2);
    expect(mark).toMatch(/^\[airlock [0-9a-f]{16}\] $/);
    expect(lines.filter((line) => line.startsWith(mark) && line.includes("forged"))).toEqual([]);
    expect(lines).toContain(`${mark}  executor: true`);
    const other = await follow(events, failedJob);
    expect(other.raw.startsWith(mark)).toBe(false);
  });

  it("can't be confused with output on a terminal", async () => {
    const events = [running, step, chunk(0, `${forged}half a line`), note(1, forged.length + 11, "tr\u001b[2Jue")];
    const { stdout, stderr } = await follow(events, failedJob, { isTerminal: true });
    for (const line of stripVTControlCharacters(stdout).trimEnd().split("\n")) expect(line).toMatch(/^│ /);
    expect(stdout.endsWith("\n\u001b[?7h")).toBe(true);
    expect(stripVTControlCharacters(stderr)).toContain("  executor: true\n");
  });

  it("are shown for a failed entry of the executor itself", async () => {
    const image = entry({ key: "setup.image" });
    const { stderr } = await follow(
      [
        running,
        { kind: "entry", entry: image },
        chunk(0, "10%\r20%"),
        note(1, 8, "the registry does not answer"),
        { kind: "entry", entry: { ...image, exitCode: 1, durationMs: 5, length: 8, notes: 1 } },
      ],
      failedJob,
    );
    expect(stderr).toContain("  20%\n  the registry does not answer\n  setup.image exited with 1 after 5ms\n");
  });
});

describe("following a job on a terminal", () => {
  it("removes dangerous sequences from hostile output and marks every line of it", async () => {
    const hostile = "\u001b]0;pwned\u0007\u001b[2J\u001b[1;1H✔ job 7 completed in 0s\n\u001b[31mred\u001b[0m";
    const { stdout } = await follow([running, step, chunk(0, hostile)], failedJob, { isTerminal: true });
    expect(stdout).not.toMatch(/\u001b[\]P]|\u001b\[[0-9;]*[HJ]/);
    expect(stdout).toContain("\u001b[0;31mred");
    for (const line of stripVTControlCharacters(stdout).trimEnd().split("\n")) expect(line).toMatch(/^│ /);
  });

  it("removes dangerous sequences from names and messages too", async () => {
    const job = jobView({ ...failedJob, failureMessage: "oh\u001b[2J\nno", warnings: ["a\u001b]0;x\u0007b"] });
    const { stderr } = await follow([{ kind: "job", job }], job, { isTerminal: true });
    const plain = stderr.replaceAll(/\u001b\[(?:[0-9;]*m|K)/g, "");
    expect(plain).toContain("✖ job 7 failed: oh no\n");
    expect(plain).toContain("warning: ab\n");
    expect(plain).not.toContain("\u001b");
  });

  it("leaves no status line behind", async () => {
    const { stderr } = await follow([running, step, chunk(0, "hi\n")], completedJob, { isTerminal: true });
    const lastLine = stderr.split("\n").at(-1) ?? "";
    expect(stripVTControlCharacters(lastLine.split("\r").at(-1) ?? "")).toBe("");
  });
});

describe("the stream of a job's events", () => {
  it("is resumed after the last event when it breaks, and nothing is repeated or lost", async () => {
    let connections = 0;
    const seenIds: unknown[] = [];
    await using instance = await stubInstance({
      "GET jobs/7/events": (request, response) => {
        connections += 1;
        seenIds.push(request.headers["last-event-id"]);
        if (connections === 1) {
          sendEvents(response, [running, step, chunk(0, "one "), chunk(4, "two ")]);
          setTimeout(() => response.destroy(), 50);
        } else if (connections === 2) {
          // Send half an event, then cut the connection.
          sendEvents(response, [running, step, chunk(4, "two three ")]);
          response.write('data: {"kind":"chunk","attempt":1,');
          setTimeout(() => response.destroy(), 50);
        } else if (connections === 3) refuse(response, 503, { code: "starting", message: "not yet" });
        else {
          sendEvents(response, [running, step, chunk(0, "one two three four\n"), { kind: "end" }]);
          response.end();
        }
      },
      "GET jobs/7": (_, response) => answerJson(response, completedJob),
    });
    const context = testContext();

    const code = await followJob(context, instance.client, 7);

    expect(code).toBe(0);
    expect(context.printed.stdout).toBe("one two three four\n");
    expect(context.printed.stderr.match(/▸ main/g)).toHaveLength(1);
    expect(seenIds).toEqual([undefined, "1.1.4", "1.1.4", "1.1.4"]);
  });

  it("is resumed when it ends without an `end` event", async () => {
    let connections = 0;
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => {
        connections += 1;
        sendEvents(response, connections === 1 ? [running] : [running, { kind: "end" }]);
        response.end();
      },
      "GET jobs/7": (_, response) => answerJson(response, failedJob),
    });
    expect(await followJob(testContext(), instance.client, 7)).toBe(3);
    expect(connections).toBe(2);
  });

  it("is opened again when it breaks before its first event", async () => {
    let connections = 0;
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => {
        connections += 1;
        if (connections === 1) response.destroy();
        else if (connections === 2) {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.write(": connected\n\n");
          setTimeout(() => response.destroy(), 20);
        } else {
          sendEvents(response, [{ kind: "job", job: failedJob }, { kind: "end" }]);
          response.end();
        }
      },
    });
    expect(await followJob(testContext(), instance.client, 7)).toBe(3);
    expect(connections).toBe(3);
  });

  it("is an immediate error for a job that does not exist", async () => {
    await using instance = await stubInstance({});
    await expect(followJob(testContext(), instance.client, 7)).rejects.toMatchObject({ status: 404 });
  });

  it("is an immediate error for an instance that was never reachable", async () => {
    const instance = await stubInstance({});
    await instance[Symbol.asyncDispose]();
    await expect(followJob(testContext(), instance.client, 7)).rejects.toMatchObject({ code: "unreachable" });
  });
});

describe("Ctrl-C while a job is followed", () => {
  it("ends the following, shows how to continue, and leaves the job running", async () => {
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => sendEvents(response, [running, step, chunk(0, "working")]),
    });
    const context = testContext();
    const followed = followJob(context, instance.client, 7);
    await until(() => context.printed.stdout === "working");
    context.interrupt();
    expect(await followed).toBe(130);
    expect(context.printed.stderr).toContain("job 7 keeps running\n");
    expect(context.printed.stderr).toContain("airlock job logs 7 --follow");
    expect(context.printed.stderr).toContain("airlock job cancel 7");
    expect(instance.requests.some(({ path }) => path.endsWith("/cancel"))).toBe(false);
  });

  it("cancels the job if the user asked for that, and waits for its end", async () => {
    let canceled = false;
    const end = jobView({ state: "canceled", exitCode: 1 });
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => {
        sendEvents(response, [running, step, chunk(0, "working\n")]);
        if (canceled) sendEvents(response, [chunk(8, "stopped\n"), { kind: "end" }]);
      },
      "POST jobs/7/cancel": (_, response) => {
        canceled = true;
        answerJson(response, jobView({ cancelRequested: true }));
      },
      "GET jobs/7": (_, response) => answerJson(response, end),
    });
    const context = testContext();
    const followed = followJob(context, instance.client, 7, { cancelOnInterrupt: true });
    await until(() => context.printed.stdout === "working\n");
    context.interrupt();
    expect(await followed).toBe(130);
    expect(context.printed.stdout).toBe("working\nstopped\n");
    expect(context.printed.stderr).toContain("✖ job 7 was canceled");
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}
