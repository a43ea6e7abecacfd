import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { collectBlobGarbage } from "../artifacts/collect-blob-garbage.ts";
import { createDirectoryBlobStore } from "../blobs/directory-blob-store.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { applyRetention } from "./retention.ts";

const day = 24 * 3600 * 1000;
const nothing = { jobsMs: null, artifactsMs: null, uploadsMs: null };
const { signal } = new AbortController();

describeWithEngines(["postgres"], "retention", () => {
  let target: TestInstance;
  let db: Database;
  beforeAll(async () => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(database, {
      storageQuotas: {
        artifacts: { totalBytes: 14_000, ownerBytes: null },
        uploads: { totalBytes: null, ownerBytes: null },
      },
    });
    db = await openDatabase({ url: database.url, maxConnections: 2 });
  });
  afterAll(async () => {
    await db?.destroy();
    await target?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    await target.submit();
    const response = await target.executor("queue/default/dequeue", { executorName: "e", airlock: {} });
    return (await response.json()) as TakenJob;
  }
  async function putArtifact(job: TakenJob, bytes: number): Promise<Response> {
    return fetch(`${target.url}/.executors/queue/default/artifacts?attempt=1&name=outputs.tar.gz&kind=file-archive`, {
      method: "PUT",
      headers: { ...jobHeaders(job, "e"), "content-type": "application/octet-stream" },
      body: Buffer.alloc(bytes),
    });
  }
  async function finish(job: TakenJob): Promise<void> {
    const body = { executorName: "e", jobId: job.id };
    expect((await target.executor("queue/default/markComplete", body, jobHeaders(job, "e"))).status).toBe(204);
  }
  async function blobs(): Promise<string[]> {
    const keys: string[] = [];
    await using store = await createDirectoryBlobStore({ directory: `${target.dataDirectory}/blobs` });
    await collectBlobGarbage(db, store, signal);
    for await (const { key } of store.list("", { signal })) keys.push(key);
    return keys;
  }
  const status = async (job: TakenJob) => (await target.rest("GET", `/jobs/${job.id}`)).status;

  it("removes finished jobs with logs and artifacts when they are old enough, and keeps open or recent ones", async () => {
    const [old, young, open] = [await take(), await take(), await take()];
    expect((await putArtifact(old, 1000)).status).toBe(204);
    await sql`insert into log_chunks (job, attempt, entry_id, "offset", stream, bytes)
      values (${old.id}, 1, 1, 0, 'stdout', 'x'), (${young.id}, 1, 1, 0, 'stdout', 'x')`.execute(db);
    await finish(old);
    await finish(young);
    await sql`update jobs set finished_at = finished_at - interval '91 days' where id = ${old.id}`.execute(db);
    await sql`update jobs set queued_at = queued_at - interval '91 days' where id = ${open.id}`.execute(db);
    await applyRetention(db, nothing, signal);
    expect(await status(old)).toBe(200);
    await applyRetention(db, { ...nothing, jobsMs: 90 * day }, signal);
    expect([await status(old), await status(young), await status(open)]).toEqual([404, 200, 200]);
    const { rows } = await sql<{ job: number }>`select distinct job from log_chunks`.execute(db);
    expect(rows.map(({ job }) => job)).toEqual([young.id]);
    expect(await blobs()).toEqual([]);
  });

  it("removes old artifacts before their job", async () => {
    const job = await take();
    expect((await putArtifact(job, 1000)).status).toBe(204);
    await finish(job);
    expect(await blobs()).toHaveLength(1);
    await sql`update artifacts set created_at = created_at - interval '31 days'`.execute(db);
    await applyRetention(db, { ...nothing, jobsMs: 90 * day, artifactsMs: 30 * day }, signal);
    expect([await status(job), await blobs()]).toEqual([200, []]);
  });

  it("removes unfinished uploads of code indexes after a day, with the parts that arrived", async () => {
    await target.rest("POST", "/repositories", { name: "code", url: "https://127.0.0.1:1/code.git" });
    const call = (query: string, body: string) =>
      fetch(`${target.url}/.executors/scip/upload?${query}`, {
        method: "POST",
        headers: { authorization: `token-executor ${target.instance.executorToken}` },
        body,
      });
    const start = await call(`repository=code&commit=${"a".repeat(40)}&multiPart=true&numParts=3`, "");
    const { id } = (await start.json()) as { id: string };
    expect((await call(`uploadId=${id}&index=1`, "part")).status).toBe(204);
    await applyRetention(db, nothing, signal);
    expect(await blobs()).toEqual([expect.stringMatching(`^uploads/${id}/1/`)]);
    await sql`update code_intel_uploads set created_at = created_at - interval '25 hours'`.execute(db);
    await applyRetention(db, nothing, signal);
    expect(await blobs()).toEqual([]);
    expect((await call(`uploadId=${id}&index=2`, "part")).status).toBe(404);
  });

  it("refuses artifacts beyond the instance's quota with an explanation, and accepts them again when there is room", async () => {
    const [first, second] = [await take(), await take()];
    expect((await putArtifact(first, 8000)).status).toBe(204);
    const refused = await putArtifact(second, 8000);
    expect([refused.status, await refused.text()]).toEqual([
      413,
      expect.stringMatching(/fill their quota of 13\.7 KiB.*AIRLOCK_ARTIFACT_RETENTION.*AIRLOCK_ARTIFACT_QUOTA/),
    ]);
    await blobs();
    expect((await putArtifact(second, 1500)).status).toBe(204);
    await sql`delete from artifacts where job = ${first.id}`.execute(db);
    // What waits to be deleted counts, too.
    expect((await putArtifact(second, 6000)).status).toBe(413);
    await blobs();
    expect((await putArtifact(second, 6000)).status).toBe(204);
  });
});
