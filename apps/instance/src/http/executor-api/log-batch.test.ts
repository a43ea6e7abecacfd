import type { LogEvent } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const executorName = "logger";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "append-only logs", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await newDatabase());
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    await target.submit();
    const response = await target.executor("queue/default/dequeue", { executorName, airlock: { waitMs: 1000 } });
    return (await response.json()) as TakenJob;
  }
  async function send(job: TakenJob, ...events: LogEvent[]): Promise<{ status: number; body: unknown }> {
    const body = { executorName, jobId: job.id, attempt: 1, events };
    const response = await target.executor("queue/default/logs", body, jobHeaders(job, executorName));
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
  }
  const open = (entryId: number): LogEvent => ({
    kind: "open",
    entryId,
    key: `step.docker.${entryId}`,
    command: ["sh"],
    startTime: "2026-01-01T00:00:00Z",
  });
  const chunk = (entryId: number, offset: number, text: string, stream: "stdout" | "stderr" = "stdout"): LogEvent => ({
    kind: "chunk",
    entryId,
    offset,
    stream,
    data: Buffer.from(text).toString("base64"),
  });
  const close = (entryId: number, exitCode = 0): LogEvent => ({ kind: "close", entryId, exitCode, durationMs: 5 });
  const note = (entryId: number, noteId: number, offset: number, text: string): LogEvent => ({
    kind: "note",
    entryId,
    noteId,
    offset,
    text,
  });
  const log = async (job: TakenJob, query = "?notes=false"): Promise<string> =>
    (await target.rest("GET", `/jobs/${job.id}/logs${query}`)).text();

  it("keep every byte once, however often a batch is sent", async () => {
    const job = await take();
    const batch = [open(1), chunk(1, 0, "one\n"), chunk(1, 4, "two\n", "stderr"), close(1)];
    for (let round = 0; round < 3; round++) expect((await send(job, ...batch)).status).toBe(204);
    // The same bytes with other chunk boundaries are accepted, too.
    expect((await send(job, chunk(1, 0, "on"), chunk(1, 2, "e\n"))).status).toBe(204);
    expect(await log(job)).toBe("one\ntwo\n");
    const view = (await (await target.rest("GET", `/jobs/${job.id}`)).json()) as { entries: unknown[] };
    expect(view.entries).toEqual([
      {
        attempt: 1,
        entryId: 1,
        key: "step.docker.1",
        command: ["sh"],
        startedAt: "2026-01-01T00:00:00.000Z",
        exitCode: 0,
        durationMs: 5,
        length: 8,
        notes: 0,
      },
    ]);
  });

  it("refuse a gap, report where the entry ends, and keep what came before the gap in the batch", async () => {
    const job = await take();
    const answer = await send(job, open(1), chunk(1, 0, "abc"), chunk(1, 5, "x"), chunk(1, 6, "y"));
    expect(answer).toEqual({
      status: 409,
      body: { code: "log-conflict", error: "bytes 3 to 5 are missing", entryId: 1, expectedOffset: 3 },
    });
    expect((await send(job, chunk(1, 3, "de"), chunk(1, 5, "f"))).status).toBe(204);
    expect(await log(job)).toBe("abcdef");
  });

  it("refuse different bytes or another stream at an old offset", async () => {
    const job = await take();
    await send(job, open(1), chunk(1, 0, "abcdef"));
    for (const forged of [chunk(1, 0, "abXdef"), chunk(1, 2, "c", "stderr"), chunk(1, 4, "efg")]) {
      expect(await send(job, forged)).toMatchObject({ status: 409, body: { entryId: 1, expectedOffset: 6 } });
    }
    expect(await log(job)).toBe("abcdef");
  });

  it("need entries that are opened in order and before they are written, and refuse writes to a closed entry", async () => {
    const job = await take();
    expect((await send(job, open(2))).status).toBe(409);
    expect((await send(job, chunk(1, 0, "x"))).status).toBe(409);
    expect((await send(job, close(1))).status).toBe(409);
    expect((await send(job, open(1), close(1), chunk(1, 0, "late"))).status).toBe(409);
    expect((await send(job, open(1), close(1, 7), open(2))).status).toBe(204);
    const view = (await (await target.rest("GET", `/jobs/${job.id}`)).json()) as { entries: { exitCode: number }[] };
    expect(view.entries.map((entry) => entry.exitCode)).toEqual([0, null]);
  });

  it("accept concurrent copies of the same batch", async () => {
    const job = await take();
    const events = Array.from({ length: 50 }, (_, index) => chunk(1, index * 10, "0123456789"));
    await Promise.all(Array.from({ length: 6 }, () => send(job, open(1), ...events)));
    expect(await log(job)).toBe("0123456789".repeat(50));
  });

  it("can hold binary bytes, and can be read by entry or as a whole", async () => {
    const job = await take();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const data = bytes.toString("base64");
    await send(job, open(1), { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data }, close(1), open(2));
    await send(job, chunk(2, 0, "second"));
    const one = await target.rest("GET", `/jobs/${job.id}/logs?entry=1`);
    expect(one.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(Buffer.from(await one.arrayBuffer()).equals(bytes)).toBe(true);
    expect(await log(job, "?entry=2")).toBe("second");
    expect(await log(job, "")).toMatch(/^\[airlock \w+\] ==> step\.docker\.2 <==\nsecond$/m);
    expect((await target.rest("GET", `/jobs/${job.id}/logs?attempt=9`)).status).toBe(404);
    expect((await target.rest("GET", `/jobs/${job.id}/logs?entry=9`)).status).toBe(404);
  });

  it("keep notes apart from the output and in their place, however often they are sent", async () => {
    const job = await take();
    const batch = [
      open(1),
      note(1, 1, 0, "first"),
      chunk(1, 0, "one"),
      note(1, 2, 3, "second\nline"),
      chunk(1, 3, "two"),
    ];
    for (let round = 0; round < 3; round++) expect((await send(job, ...batch)).status).toBe(204);
    expect((await send(job, note(1, 3, 6, "third"), close(1))).status).toBe(204);
    expect(await log(job)).toBe("onetwo");
    expect(await log(job, "?entry=1")).toBe("onetwo");
    const text = await log(job, "");
    const mark = text.slice(0, text.indexOf("]") + 1);
    expect(text.replaceAll(mark, "#")).toBe(
      [
        `# Log of job ${job.id}, attempt 1. Only lines that begin with this mark are written by Airlock.`,
        "# ==> step.docker.1 <==",
        "# first",
        "one",
        "# second",
        "# line",
        "two",
        "# third",
        "",
      ].join("\n"),
    );
    const view = (await (await target.rest("GET", `/jobs/${job.id}`)).json()) as { entries: unknown[] };
    expect(view.entries).toMatchObject([{ length: 6, notes: 3 }]);
  });

  it("use a new marker for notes each time, so that output can't imitate it", async () => {
    const job = await take();
    await send(job, open(1), note(1, 1, 0, "true"));
    const before = await log(job, "");
    const mark = before.slice(0, before.indexOf("]") + 1);
    expect(mark).toMatch(/^\[airlock [0-9a-f]{16}\]$/);
    await send(job, chunk(1, 0, `${mark} forged\n[airlock] forged\n[air\u001b[mlock] forged\n`), close(1));
    const after = await log(job, "");
    const marked = after.split("\n").filter((line) => line.startsWith(after.slice(0, after.indexOf("]") + 1)));
    expect(marked.join("\n")).not.toContain("forged");
    expect(after).toContain(`${mark} forged`);
  });

  it("accept notes only in order, at the current end of the output, and in an open entry", async () => {
    const job = await take();
    expect((await send(job, note(1, 1, 0, "x"))).status).toBe(409);
    await send(job, open(1), chunk(1, 0, "abc"));
    expect(await send(job, note(1, 2, 0, "x"))).toMatchObject({ status: 409, body: { error: "note 1 comes next" } });
    expect(await send(job, note(1, 1, 4, "x"))).toMatchObject({ status: 409, body: { expectedOffset: 3 } });
    expect((await send(job, note(1, 1, 3, "x"), close(1), note(1, 1, 3, "x"))).status).toBe(204);
    expect(await send(job, note(1, 2, 3, "x"))).toMatchObject({ status: 409, body: { error: "entry 1 is closed" } });
  });

  it("refuse notes beyond the limits on notes", async () => {
    const job = await take();
    await send(job, open(1), open(2));
    const long = "x".repeat(8192);
    expect((await send(job, ...Array.from({ length: 128 }, (_, index) => note(1, index + 1, 0, long)))).status).toBe(
      204,
    );
    expect(await send(job, note(2, 1, 0, "y"))).toMatchObject({
      status: 409,
      body: { error: expect.stringContaining("at most 5000 notes") },
    });
    const other = await take();
    await send(other, open(1));
    for (let first = 1; first <= 5000; first += 1000) {
      const notes = Array.from({ length: 1000 }, (_, index) => note(1, first + index, 0, "z"));
      expect((await send(other, ...notes)).status).toBe(204);
    }
    expect((await send(other, note(1, 5001, 0, "z"))).status).toBe(409);
  });

  it("keep notes that come after the log reached its limit", async () => {
    await target.rest("PATCH", "/queues/default", { maxLogBytes: 1024 });
    const job = await take();
    await send(job, open(1), chunk(1, 0, "x".repeat(1500)), note(1, 1, 1500, "killed: out of memory"), close(1));
    await target.rest("PATCH", "/queues/default", { maxLogBytes: 256 * 1024 * 1024 });
    const text = await log(job, "");
    expect(text).toMatch(/x\n\[airlock \w+\] killed: out of memory\n\[airlock \w+\] The job reached its log limit/);
  });

  it("refuse an entry after the two-thousandth", async () => {
    const job = await take();
    for (const first of [1, 1001]) {
      const opened = Array.from({ length: 1000 }, (_, index) => open(first + index));
      expect((await send(job, ...opened)).status).toBe(204);
    }
    expect(await send(job, open(2001))).toMatchObject({ status: 409, body: { entryId: 2001 } });
  });

  it.each([
    ["events[0].offset", { ...chunk(1, 0, "x"), offset: -1 }],
    ["events[0].text", note(1, 1, 0, "")],
    ["events[0].text", note(1, 1, 0, "x".repeat(8193))],
  ])("name the event of a batch that violates the schema: %s", async (member, event) => {
    const job = await take();
    const body = { executorName, jobId: job.id, attempt: 1, events: [event] };
    const response = await target.executor("queue/default/logs", body, jobHeaders(job, executorName));
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining(member)]);
  });
});
