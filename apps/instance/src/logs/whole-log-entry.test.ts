import { JobSpec, type LogEvent } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, type TestDatabase } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { dequeueJob } from "../queues/dequeue-job.ts";
import { type AttemptKey, completeAttempt } from "../queues/end-attempt.ts";
import { enqueueJob } from "../queues/enqueue-job.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { getJobView } from "../views/job-views.ts";
import { appendLogBatch } from "./append-log-batch.ts";
import { listLogEntries, readOutput } from "./read-log.ts";
import { addLogEntry, updateLogEntry, type WholeLogEntry } from "./whole-log-entry.ts";

const executor = "e";
const entry: WholeLogEntry = {
  key: "step.docker.main",
  command: ["docker", "run"],
  startTime: "2026-01-01T00:00:00Z",
  exitCode: null,
  durationMs: null,
  text: "",
};

describeWithEngines(["postgres"], "stored logs", () => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
  });
  afterAll(async () => {
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
  });

  async function newAttempt(): Promise<AttemptKey> {
    const spec = JobSpec.parse({ steps: [{ image: "alpine", run: "true" }] });
    await enqueueJob(db, { spec, repository: null, commit: null, idempotencyKey: null });
    const job = await dequeueJob(db, { queues: ["default"], executor, labels: {} });
    return { job: job?.id ?? 0, attempt: 1, executor };
  }
  async function log(key: AttemptKey): Promise<string> {
    const parts: Buffer[] = [];
    for await (const part of readOutput(db, key.job, await listLogEntries(db, key.job, 1))) parts.push(part);
    return Buffer.concat(parts).toString();
  }
  const chunkCount = async (key: AttemptKey): Promise<number> =>
    (await db.selectFrom("log_chunks").select("offset").where("job", "=", key.job).execute()).length;

  it("append only the new part of a whole entry, and store nothing twice", async () => {
    const key = await newAttempt();
    expect(await addLogEntry(db, key, entry)).toBe(1);
    expect(await addLogEntry(db, key, { ...entry, key: "teardown.fs", text: "stdout: bye\n" })).toBe(2);
    for (const text of ["stdout: a\n", "stdout: a\nstderr: b\n", "stdout: a\nstderr: b\n"]) {
      expect(await updateLogEntry(db, key, 1, { ...entry, text })).toBe(true);
    }
    expect(await chunkCount(key)).toBe(3);
    await updateLogEntry(db, key, 1, { ...entry, text: "stdout: a\nstderr: b\n", exitCode: 0, durationMs: 5 });
    expect((await getJobView(db, key.job, null))?.entries).toMatchObject([
      { entryId: 1, exitCode: 0, durationMs: 5, length: 4 },
      { entryId: 2, exitCode: null, length: 4 },
    ]);
    expect(await log(key)).toBe("a\nb\nbye\n");
  });

  it("replace an entry whose earlier text changed, for example by a secret that is redacted late", async () => {
    const key = await newAttempt();
    await addLogEntry(db, key, { ...entry, text: "stdout: sec\n" });
    await updateLogEntry(db, key, 1, { ...entry, text: "stdout: ******\nstdout: next\n" });
    expect(await log(key)).toBe("******\nnext\n");
  });

  it("refuse an entry of an attempt that has ended, and an entry that was never added", async () => {
    const key = await newAttempt();
    expect(await updateLogEntry(db, key, 1, entry)).toBe(false);
    await addLogEntry(db, key, entry);
    await completeAttempt(db, key);
    expect(await addLogEntry(db, key, entry)).toBeNull();
    expect(await updateLogEntry(db, key, 1, { ...entry, text: "stdout: late\n" })).toBe(false);
    expect(await log(key)).toBe("");
  });

  it("stop at the job's limit, count what came after it, and report it", async () => {
    const limits = { maxEntries: 10, maxBytesPerAttempt: 10 };
    const key = await newAttempt();
    const chunk = (offset: number, text: string): LogEvent => ({
      kind: "chunk",
      entryId: 1,
      offset,
      stream: "stdout",
      data: Buffer.from(text).toString("base64"),
    });
    const open: LogEvent = {
      kind: "open",
      entryId: 1,
      key: "step.docker.main",
      command: [],
      startTime: entry.startTime,
    };
    for (const batch of [[open, chunk(0, "12345678")], [chunk(8, "9abcdef")], [chunk(15, "more")]]) {
      expect(await appendLogBatch(db, key, batch, limits)).toEqual({ kind: "appended" });
    }
    // Repeats everything, including what was dropped.
    expect(await appendLogBatch(db, key, [chunk(8, "9abcdef"), chunk(15, "more")], limits)).toEqual({
      kind: "appended",
    });
    const notice = "The job reached its log limit: 9 bytes of step.docker.main were not stored.";
    expect(await log(key)).toBe("123456789a");
    const view = await getJobView(db, key.job, null);
    expect(view?.warnings).toEqual([notice]);
    expect(view?.entries).toMatchObject([{ length: 19 }]);

    const whole = await newAttempt();
    await addLogEntry(db, whole, { ...entry, text: "stdout: 123456789abc\n" }, limits);
    await updateLogEntry(db, whole, 1, { ...entry, text: "stdout: 123456789abc\nstdout: d\n" }, limits);
    expect(await log(whole)).toBe("123456789a");
  });
});
