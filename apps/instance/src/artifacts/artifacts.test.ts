import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { ArtifactList, JobView } from "@airlock/api";
import { noProxies } from "@airlock/proxy";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type BlobStorage, openBlobStore } from "../blobs/open-blob-store.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { collectBlobGarbage } from "./collect-blob-garbage.ts";

const queue = "default";
const executorName = "e";
const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

async function take(target: TestInstance): Promise<TakenJob> {
  await target.submit({ outputs: ["a"], diff: true });
  const body = { executorName, airlock: { waitMs: 5000, capabilities: ["results"] } };
  return (await (await target.executor(`queue/${queue}/dequeue`, body)).json()) as TakenJob;
}

interface Upload {
  readonly attempt?: number;
  readonly name?: string;
  readonly kind?: string;
  readonly headers?: Record<string, string>;
}

function put(target: TestInstance, job: TakenJob, body: string | Readable, upload: Upload = {}): Promise<Response> {
  const { attempt = job.airlock.attempt, name = "outputs.tar.gz", kind = "file-archive", headers } = upload;
  const query = new URLSearchParams({ attempt: String(attempt), name, kind });
  return fetch(`${target.url}/.executors/queue/${queue}/artifacts?${query}`, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream", ...(headers ?? jobHeaders(job, executorName)) },
    body: typeof body === "string" ? body : (Readable.toWeb(body) as ReadableStream<Uint8Array>),
    ...(typeof body === "string" ? {} : { duplex: "half" }),
  } as RequestInit);
}

const listOf = async (target: TestInstance, job: number) =>
  ArtifactList.parse(await (await target.rest("GET", `/jobs/${job}/artifacts`)).json()).artifacts;

describeWithEngines(["postgres"], "artifacts", () => {
  let target: TestInstance;
  let database: pg.Client;
  beforeAll(async () => {
    const fresh = await newDatabase();
    database = new pg.Client({ connectionString: fresh.url });
    await database.connect();
    target = await startTestInstance(fresh, { maxArtifactBytes: 1_000_000 });
  });
  afterAll(async () => {
    await database?.end();
    await target?.[Symbol.asyncDispose]();
  });

  it("are stored, listed, shown with their job and downloaded as plain files", async () => {
    const job = await take(target);
    expect(job.airlock).toMatchObject({ outputs: ["a"], diff: true, maxArtifactBytes: 1_000_000 });
    expect((await put(target, job, "<script>alert(1)</script>")).status).toBe(204);
    expect((await put(target, job, Readable.from(["a", "b"]), { name: "workspace.diff", kind: "diff" })).status).toBe(
      204,
    );

    const [archive, diff] = await listOf(target, job.id);
    expect(archive).toMatchObject({ name: "outputs.tar.gz", kind: "file-archive", attempt: 1, bytes: 25 });
    expect(diff).toMatchObject({ name: "workspace.diff", kind: "diff", bytes: 2 });
    const view = JobView.parse(await (await target.rest("GET", `/jobs/${job.id}`)).json());
    expect(view.artifacts).toHaveLength(2);
    const download = await target.rest("GET", `/jobs/${job.id}/artifacts/${archive?.id}`);
    expect(await download.text()).toBe("<script>alert(1)</script>");
    expect(Object.fromEntries(download.headers)).toMatchObject({
      "content-type": "application/octet-stream",
      "content-disposition": `attachment; filename="job-${job.id}-attempt-1-outputs.tar.gz"`,
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringMatching(/default-src 'none'.*sandbox/),
    });
  });

  it("can't be reached through another job's number or without the administrator's token", async () => {
    const [one, other] = [await take(target), await take(target)];
    await put(target, one, "x");
    const [artifact] = await listOf(target, one.id);
    expect((await target.rest("GET", `/jobs/${other.id}/artifacts/${artifact?.id}`)).status).toBe(404);
    expect((await target.rest("GET", "/jobs/999999/artifacts")).status).toBe(404);
    expect((await fetch(`${target.url}/api/v1/jobs/${one.id}/artifacts/${artifact?.id}`)).status).toBe(401);
  });

  it("are accepted only from the running attempt, with its own token", async () => {
    const [job, other] = [await take(target), await take(target)];
    const foreign = { ...jobHeaders(other, executorName), "x-sourcegraph-job-id": String(job.id) };
    const statuses = [
      (await put(target, job, "x", { headers: foreign })).status,
      (await put(target, job, "x", { headers: jobHeaders({ ...job, token: "0".repeat(40) }, executorName) })).status,
      (await put(target, job, "x", { headers: jobHeaders(job, "another") })).status,
      (await put(target, job, "x", { headers: { authorization: `token-executor ${target.instance.executorToken}` } }))
        .status,
      (await put(target, job, "x", { attempt: 2 })).status,
      (await put(target, job, "x", { name: "../x" })).status,
      (await put(target, job, "x", { kind: "page" })).status,
    ];
    expect(statuses).toEqual([403, 401, 403, 403, 409, 400, 400]);
    const end = { executorName, jobId: job.id, attempt: 1 };
    await target.executor(`queue/${queue}/markComplete`, end, jobHeaders(job, executorName));
    // A finished job's token may already be deleted. If not, its attempt is over.
    expect([401, 403, 409]).toContain((await put(target, job, "x")).status);
    expect(await listOf(target, job.id)).toEqual([]);
  });

  it("replace an earlier artifact of the same name and leave no blob behind", async () => {
    const job = await take(target);
    await put(target, job, "first");
    await put(target, job, "second");
    const [only, ...others] = await listOf(target, job.id);
    expect([only?.bytes, others]).toEqual([6, []]);
    expect((await put(target, job, Readable.from(hangUp()))).status).toBeGreaterThanOrEqual(400);
  });

  it("share one size limit per attempt, whose error explains it, even if the size was not announced", async () => {
    const job = await take(target);
    await put(target, job, "x".repeat(600_000), { name: "a" });
    const late = await put(target, job, Readable.from(chunks(600_000)), { name: "b" });
    expect([late.status, await late.text()]).toEqual([413, "the artifacts of an attempt may have 976.6 KiB in total"]);
    expect((await put(target, job, "x".repeat(1_000_001), { name: "c" })).status).toBe(413);
    expect((await put(target, job, "x".repeat(300_000), { name: "d" })).status).toBe(204);
    expect((await put(target, job, "x".repeat(600_000), { name: "a" })).status).toBe(204);
    expect((await listOf(target, job.id)).map(({ name }) => name)).toEqual(["a", "d"]);
  });

  it("are deleted with their job", async () => {
    const job = await take(target);
    await put(target, job, "x");
    const directory = path.join(target.dataDirectory, "blobs");
    const blobsOf = async () =>
      (await readdir(directory, { recursive: true })).filter(
        (name) => name.includes(`jobs`) && name.includes(`/${job.id}`),
      );
    expect((await blobsOf()).length).toBeGreaterThan(0);
    await database.query("delete from jobs where id = $1", [job.id]);
    const { rows } = await database.query("select blob from blob_garbage where blob like $1 and due_at <= now()", [
      `jobs/${job.id}/%`,
    ]);
    expect(rows).toHaveLength(1);
  });

  it("do not affect step states, which come from the log during the job and from the executor's report at its end", async () => {
    await target.submit({ steps: ["a", "b", "c"].map((key) => ({ key, image: "alpine", run: "true" })) });
    const body = { executorName, airlock: { waitMs: 5000, capabilities: ["results"] } };
    const job = (await (await target.executor(`queue/${queue}/dequeue`, body)).json()) as TakenJob;
    const states = async () =>
      JobView.parse(await (await target.rest("GET", `/jobs/${job.id}`)).json()).steps.map((step) => [
        step.state,
        step.exitCode,
        step.durationMs,
      ]);
    expect(await states()).toEqual([
      ["pending", null, null],
      ["pending", null, null],
      ["pending", null, null],
    ]);
    const startTime = new Date().toISOString();
    const open = (entryId: number, key: string) => ({ kind: "open", entryId, key, command: [], startTime });
    const events = [
      open(1, "step.docker.a"),
      { kind: "close", entryId: 1, exitCode: 0, durationMs: 5 },
      open(2, "step.docker.b"),
    ];
    const end = { executorName, jobId: job.id, attempt: 1 };
    await target.executor(`queue/${queue}/logs`, { ...end, events }, jobHeaders(job, executorName));
    expect((await states()).slice(0, 2)).toEqual([
      ["succeeded", 0, 5],
      ["running", null, null],
    ]);
    const steps = [
      { key: "a", state: "succeeded", exitCode: 0, durationMs: 6 },
      { key: "b", state: "failed", exitCode: 3, durationMs: 7 },
      { key: "c", state: "skipped", exitCode: null, durationMs: null },
    ];
    await target.executor(`queue/${queue}/markFailed`, { ...end, steps, exitCode: 3 }, jobHeaders(job, executorName));
    expect(await states()).toEqual([
      ["succeeded", 0, 6],
      ["failed", 3, 7],
      ["skipped", null, null],
    ]);
  });
});

describeWithEngines(["postgres", "s3"], "artifacts in object storage", () => {
  it("are stored, downloaded and deleted", async () => {
    const { endpoint, region, accessKeyId, secretAccessKey } = engines().s3 ?? expect.unreachable();
    const bucket = `test-${randomUUID()}`;
    const client = new S3Client({
      endpoint,
      region,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    const blobStorage: BlobStorage = {
      ...{ endpoint, region, bucket, accessKeyId, secretAccessKey },
      prefix: "airlock/",
      forcePathStyle: true,
    };
    const fresh = await newDatabase();
    await using target = await startTestInstance(fresh, { blobStorage });
    const job = await take(target);
    expect((await put(target, job, Readable.from(chunks(20_000_000)))).status).toBe(204);
    const [artifact] = await listOf(target, job.id);
    const download = await target.rest("GET", `/jobs/${job.id}/artifacts/${artifact?.id}`);
    expect((await download.arrayBuffer()).byteLength).toBe(20_000_000);
    const keys = async () =>
      (await client.send(new ListObjectsV2Command({ Bucket: bucket }))).Contents?.map(({ Key }) => Key) ?? [];
    expect(await keys()).toEqual([expect.stringMatching(new RegExp(`^airlock/jobs/${job.id}/1/`))]);

    const database = new pg.Client({ connectionString: fresh.url });
    await database.connect();
    await database.query("delete from jobs");
    await database.end();
    const { openDatabase } = await import("../store/database.ts");
    const db = await openDatabase({ url: fresh.url, onIdleError: () => {} });
    const { signal } = new AbortController();
    await collectBlobGarbage(db, await openBlobStore(blobStorage, "", { proxies: noProxies, signal }), signal);
    await db.destroy();
    expect(await keys()).toEqual([]);
    await expect(
      openBlobStore({ ...blobStorage, bucket: "no-such-bucket" }, "", { proxies: noProxies, signal }),
    ).rejects.toMatchObject({
      code: "blob-store-no-bucket",
    });
    client.destroy();
  });
});

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= 100_000) yield Buffer.alloc(Math.min(left, 100_000), "x");
}

function* hangUp(): Generator<Buffer> {
  yield Buffer.alloc(10);
  yield Buffer.alloc(2_000_000);
}
