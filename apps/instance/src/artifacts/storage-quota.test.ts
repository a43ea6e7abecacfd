import { once } from "node:events";
import { connect } from "node:net";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createDirectoryBlobStore } from "../blobs/directory-blob-store.ts";
import { applyRetention } from "../queues/retention.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { sendRaw } from "../testing/send-raw.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { collectBlobGarbage } from "./collect-blob-garbage.ts";

const kib = 1024;
const { signal } = new AbortController();
const noRetention = { jobsMs: null, artifactsMs: null, uploadsMs: null };

describeWithEngines(["postgres"], "the quota of everything stored", () => {
  let stack: AsyncDisposableStack;
  let target: TestInstance;
  let db: Database;
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = stack.use(
      await startTestInstance(database, {
        storageQuotas: {
          artifacts: { totalBytes: 1024 * kib, ownerBytes: 100 * kib },
          uploads: { totalBytes: 256 * kib, ownerBytes: 128 * kib },
        },
      }),
    );
    for (const name of ["a", "b", "c"]) {
      await target.rest("POST", "/repositories", { name, url: `https://127.0.0.1:1/${name}.git` });
    }
    db = await openDatabase({ url: database.url, maxConnections: 2 });
    stack.defer(() => db.destroy());
  });
  afterEach(() => stack.disposeAsync());

  const post = async (query: Record<string, string>, body: Buffer | ReadableStream = Buffer.alloc(0)) => {
    const commit = "a".repeat(40);
    const search = new URLSearchParams("uploadId" in query ? query : { commit, ...query });
    const response = await fetch(`${target.url}/.executors/scip/upload?${search}`, {
      method: "POST",
      headers: { authorization: `token-executor ${target.instance.executorToken}` },
      body: body instanceof ReadableStream ? body : new Uint8Array(body),
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    } as RequestInit);
    return { status: response.status, text: await response.text() };
  };
  /** A body whose length no header tells. */
  const streamed = (bytes: number) => new Blob([new Uint8Array(bytes)]).stream();
  async function stored(): Promise<number> {
    await using store = await createDirectoryBlobStore({ directory: `${target.dataDirectory}/blobs` });
    await collectBlobGarbage(db, store, signal);
    let bytes = 0;
    for await (const blob of store.list("", { signal })) bytes += blob.bytes;
    return bytes;
  }

  it("refuses an index beyond its repository's share, and the error names the limit and what to do", async () => {
    expect((await post({ repository: "a" }, Buffer.alloc(100 * kib))).status).toBe(202);
    const refused = await post({ repository: "a" }, Buffer.alloc(50 * kib));
    expect(refused.status).toBe(413);
    expect(refused.text).toBe(
      'the code indexes of repository "a" fill their quota of 128 KiB. Wait until AIRLOCK_UPLOAD_RETENTION removes old ' +
        "ones, or have the instance's administrator raise AIRLOCK_UPLOAD_REPOSITORY_QUOTA.",
    );
    expect((await post({ repository: "a" }, streamed(50 * kib))).status).toBe(413);
    expect((await post({ repository: "b" }, Buffer.alloc(50 * kib))).status).toBe(202);
    expect(await stored()).toBe(150 * kib);
  });

  it("holds for thousands of small indexes, finished or not", async () => {
    const statuses: number[] = [];
    for (let index = 0; index < 40; index += 1) {
      const { status, text } = await post({ repository: "a", multiPart: "true", numParts: "2" });
      expect(status).toBe(202);
      const { id } = JSON.parse(text) as { id: string };
      statuses.push((await post({ uploadId: id, index: "0" }, Buffer.from("x"))).status);
    }
    // Each counts as a block of the disk.
    expect(statuses.filter((status) => status === 204)).toHaveLength(32);
    expect(new Set(statuses)).toEqual(new Set([204, 413]));
  });

  it("limits how many uploads of indexes a repository can start without finishing", async () => {
    const begin = () => post({ repository: "a", multiPart: "true", numParts: "2" });
    for (let index = 0; index < 200; index += 1) expect((await begin()).status).toBe(202);
    const refused = await begin();
    expect([refused.status, refused.text]).toEqual([
      429,
      expect.stringContaining("200 unfinished uploads: finish them"),
    ]);
  });

  it("holds for indexes that arrive at the same moment, with and without an announced size", async () => {
    const uploads = Array.from({ length: 24 }, (_, index) =>
      post(
        { repository: ["a", "b", "c"][index % 3] ?? "" },
        index % 2 === 0 ? Buffer.alloc(30 * kib) : streamed(30 * kib),
      ),
    );
    const statuses = (await Promise.all(uploads)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([202, 413]));
    expect(await stored()).toBeLessThanOrEqual(256 * kib);
  });

  it("keeps no part of an index that was refused while it arrived", async () => {
    expect((await post({ repository: "a" }, streamed(200 * kib))).status).toBe(413);
    expect(await stored()).toBe(0);
    const { rows } = await sql`select from code_intel_uploads union all select from blob_garbage`.execute(db);
    expect(rows).toEqual([]);
  });

  it("counts a part once when it is sent again", async () => {
    const { text } = await post({ repository: "a", multiPart: "true", numParts: "1" });
    const { id } = JSON.parse(text) as { id: string };
    for (let repeat = 0; repeat < 5; repeat += 1) {
      expect((await post({ uploadId: id, index: "0" }, Buffer.alloc(60 * kib))).status).toBe(204);
      expect(await stored()).toBe(60 * kib);
    }
    expect((await post({ uploadId: id, done: "true" })).status).toBe(202);
  });

  it("has room again after retention removes old finished indexes", async () => {
    expect((await post({ repository: "a" }, Buffer.alloc(100 * kib))).status).toBe(202);
    expect((await post({ repository: "a" }, Buffer.alloc(20 * kib))).status).toBe(202);
    await sql`update code_intel_uploads set finished_at = finished_at - interval '31 days' where id = 1`.execute(db);
    await applyRetention(db, noRetention, signal);
    expect(await stored()).toBe(120 * kib);
    await applyRetention(db, { ...noRetention, uploadsMs: 30 * 24 * 3_600_000 }, signal);
    expect(await stored()).toBe(20 * kib);
    expect((await post({ repository: "a" }, Buffer.alloc(100 * kib))).status).toBe(202);
  });

  it("limits the total size of a namespace's artifacts", async () => {
    const put = async (namespace: string) => {
      await target.submit({ namespace });
      const taken = await target.executor("queue/default/dequeue", { executorName: "e", airlock: { waitMs: 5000 } });
      const job = (await taken.json()) as TakenJob;
      const response = await fetch(`${target.url}/.executors/queue/default/artifacts?attempt=1&name=a&kind=diff`, {
        method: "PUT",
        headers: jobHeaders(job, "e"),
        body: new Uint8Array(60 * kib),
      });
      return { status: response.status, text: await response.text() };
    };
    expect((await put("team-a")).status).toBe(204);
    const refused = await put("team-a");
    expect([refused.status, refused.text]).toEqual([
      413,
      expect.stringMatching(/^the artifacts of namespace "team-a" fill .*AIRLOCK_ARTIFACT_NAMESPACE_QUOTA/),
    ]);
    expect((await put("team-b")).status).toBe(204);
  });

  it("limits executors and metrics with made-up names, and leaves known executors alone", async () => {
    const beat = async (executorName: string, prometheusMetrics = "") =>
      (await target.executor("queue/default/heartbeat", { executorName, version: "V2", jobIds: [], prometheusMetrics }))
        .status;
    expect(await beat("known")).toBe(200);
    await sql`insert into executor_metrics (executor, series, content)
      select 'big-' || i, 1, repeat('x', 1024 * 1024) from generate_series(1, 256) i`.execute(db);
    expect(await beat("known", "a 1\n")).toBe(200);
    const pushed = await sql`select from executor_metrics where executor = 'known'`.execute(db);
    expect(pushed.rows).toEqual([]);
    await sql`insert into executors (name, queues, airlock, version, runtime, runtime_version, os, architecture,
        git_version, docker_version, labels)
      select 'made-up-' || i, queues, airlock, version, runtime, runtime_version, os, architecture, git_version,
        docker_version, labels
      from executors, generate_series(1, 9999) i where name = 'known'`.execute(db);
    expect([await beat("one-more"), await beat("known"), await beat("made-up-1")]).toEqual([429, 200, 200]);
  });

  it("holds nothing for a client that is gone before its body is read", async () => {
    const { hostname, port } = new URL(target.url);
    const search = `repository=a&commit=${"a".repeat(40)}`;
    for (let index = 0; index < 5; index += 1) {
      const socket = connect(Number(port), hostname);
      // Node.js ends the connection at the body's first byte, which is not the length of a chunk.
      socket.write(
        `POST /.executors/scip/upload?${search} HTTP/1.1\r\nHost: ${hostname}\r\nTransfer-Encoding: chunked\r\n` +
          `Authorization: token-executor ${target.instance.executorToken}\r\n\r\nx`,
      );
      socket.resume();
      await once(socket, "close");
    }
    const held = async () => {
      const reserved = sql`select 0 as id from blob_garbage where due_at > airlock_now()`;
      return (await sql`select id from code_intel_uploads union all ${reserved}`.execute(db)).rows;
    };
    await expect.poll(held, { timeout: 10_000 }).toEqual([]);
  });

  it("refuses a body that is announced as too large before it arrives", async () => {
    const refused = await sendRaw(target.url, {
      method: "POST",
      path: `/.executors/scip/upload?repository=a&commit=${"a".repeat(40)}`,
      headers: {
        authorization: `token-executor ${target.instance.executorToken}`,
        "content-length": String(1024 ** 3 + 1),
      },
      timeoutMs: 30_000,
    });
    expect([refused.status, refused.text]).toEqual([413, "the part is too large"]);
  });

  it("is visible in the metrics", async () => {
    await post({ repository: "a" }, Buffer.alloc(100 * kib));
    const metrics = await (await fetch(`${target.url}/metrics`)).text();
    expect(metrics).toContain(`airlock_stored_bytes{kind="uploads"} ${100 * kib}`);
    expect(metrics).toContain(`airlock_storage_quota_bytes{kind="uploads"} ${256 * kib}`);
    expect(metrics).toContain('airlock_stored_bytes{kind="artifacts"} 0');
  });
});
