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
  const log = async (job: TakenJob, query = ""): Promise<string> =>
    (await target.rest("GET", `/jobs/${job.id}/logs${query}`)).text();

  it("keep every byte once, however often a batch is sent", async () => {
    const job = await take();
    const batch = [open(1), chunk(1, 0, "one\n"), chunk(1, 4, "two\n", "stderr"), close(1)];
    for (let round = 0; round < 3; round++) expect((await send(job, ...batch)).status).toBe(204);
    // Also the same bytes cut in other places.
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
      },
    ]);
  });

  it("refuse a gap and say where the entry ends, and keep what came before it in the batch", async () => {
    const job = await take();
    const answer = await send(job, open(1), chunk(1, 0, "abc"), chunk(1, 5, "x"), chunk(1, 6, "y"));
    expect(answer).toEqual({
      status: 409,
      body: { code: "log-conflict", error: "bytes 3 to 5 are missing", entryId: 1, expectedOffset: 3 },
    });
    expect((await send(job, chunk(1, 3, "de"), chunk(1, 5, "f"))).status).toBe(204);
    expect(await log(job)).toBe("abcdef");
  });

  it("detect other bytes, or another stream, at an old offset", async () => {
    const job = await take();
    await send(job, open(1), chunk(1, 0, "abcdef"));
    for (const forged of [chunk(1, 0, "abXdef"), chunk(1, 2, "c", "stderr"), chunk(1, 4, "efg")]) {
      expect(await send(job, forged)).toMatchObject({ status: 409, body: { entryId: 1, expectedOffset: 6 } });
    }
    expect(await log(job)).toBe("abcdef");
  });

  it("want entries in order, opened before they are written, and not reopened by a close", async () => {
    const job = await take();
    expect((await send(job, open(2))).status).toBe(409);
    expect((await send(job, chunk(1, 0, "x"))).status).toBe(409);
    expect((await send(job, close(1))).status).toBe(409);
    expect((await send(job, open(1), close(1), chunk(1, 0, "late"))).status).toBe(409);
    expect((await send(job, open(1), close(1, 7), open(2))).status).toBe(204);
    const view = (await (await target.rest("GET", `/jobs/${job.id}`)).json()) as { entries: { exitCode: number }[] };
    expect(view.entries.map((entry) => entry.exitCode)).toEqual([0, null]);
  });

  it("take concurrent copies of the same batch", async () => {
    const job = await take();
    const events = Array.from({ length: 50 }, (_, index) => chunk(1, index * 10, "0123456789"));
    await Promise.all(Array.from({ length: 6 }, () => send(job, open(1), ...events)));
    expect(await log(job)).toBe("0123456789".repeat(50));
  });

  it("hold binary bytes and show one entry or all of them", async () => {
    const job = await take();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const data = bytes.toString("base64");
    await send(job, open(1), { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data }, close(1), open(2));
    await send(job, chunk(2, 0, "second"));
    const one = await target.rest("GET", `/jobs/${job.id}/logs?entry=1`);
    expect(one.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(Buffer.from(await one.arrayBuffer()).equals(bytes)).toBe(true);
    expect(await log(job, "?entry=2")).toBe("second");
    expect(await log(job)).toContain("==> step.docker.2 <==\nsecond\n");
    expect((await target.rest("GET", `/jobs/${job.id}/logs?attempt=9`)).status).toBe(404);
    expect((await target.rest("GET", `/jobs/${job.id}/logs?entry=9`)).status).toBe(404);
  });

  it("refuse the entry after the two-thousandth", async () => {
    const job = await take();
    for (const first of [1, 1001]) {
      const opened = Array.from({ length: 1000 }, (_, index) => open(first + index));
      expect((await send(job, ...opened)).status).toBe(204);
    }
    expect(await send(job, open(2001))).toMatchObject({ status: 409, body: { entryId: 2001 } });
  });

  it("name the member of a batch that breaks its schema", async () => {
    const job = await take();
    const body = { executorName, jobId: job.id, attempt: 1, events: [{ ...chunk(1, 0, "x"), offset: -1 }] };
    const response = await target.executor("queue/default/logs", body, jobHeaders(job, executorName));
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("events[0].offset")]);
  });
});
