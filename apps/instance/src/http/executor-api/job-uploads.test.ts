import path from "node:path";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type Database, openDatabase } from "../../store/database.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const routes = ["/.executors/scip/upload", "/.executors/lsif/upload", "/.api/scip/upload", "/.api/lsif/upload"];
const limit = 100_000;

describeWithEngines(["postgres"], "an upload with a job's token", () => {
  const suite = new AsyncDisposableStack();
  let target: TestInstance;
  let db: Database;
  let commits: Readonly<Record<string, string>>;
  let job: TakenJob;

  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    const made = { app: "", other: "" };
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = suite.use(await startTestInstance(database, { maxArtifactBytes: limit }));
    for (const name of ["app", "other"] as const) {
      const source = await makeRepository(path.join(directory.path, name), [{ message: name, files: [] }]);
      made[name] = source.head;
      await target.rest("POST", "/repositories", { name, url: source.path });
    }
    commits = made;
    db = await openDatabase({ url: database.url });
    suite.defer(() => db.destroy());
  });
  afterAll(() => suite.disposeAsync());
  beforeEach(async () => {
    job = await take("app");
  });

  async function take(repository: string): Promise<TakenJob> {
    await target.submit({ repository, egress: "none" });
    const taken = await target.executor("queue/default/dequeue", {
      executorName: "one",
      version: "5.5.0",
      airlock: { waitMs: 0, capabilities: ["attempts", "log-batch", "events", "results"], labels: {} },
    });
    expect(taken.status).toBe(200);
    return (await taken.json()) as TakenJob;
  }

  const index = (more: Record<string, string> = {}) => ({ repository: "app", commit: commits.app ?? "", ...more });
  const send = async (
    query: Record<string, string>,
    { as = job.token, scheme = "Bearer", route = routes[0], body = "index" as string | undefined } = {},
  ) => {
    const response = await fetch(`${target.url}${route}?${new URLSearchParams(query)}`, {
      method: "POST",
      headers: { authorization: `${scheme} ${as}`, "content-type": "application/x-protobuf+scip" },
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, text: await response.text() };
  };

  it.each(routes)(
    "is accepted at %s, whole and in parts, with every authorization scheme that clients use",
    async (route) => {
      for (const scheme of ["Bearer", "token", "token-executor"]) {
        const options = { route, scheme };
        expect((await send(index(), options)).status).toBe(202);
        const started = await send(index({ multiPart: "true", numParts: "2" }), { ...options, body: undefined });
        expect(started.status).toBe(202);
        const { id } = JSON.parse(started.text) as { id: string };
        for (const part of ["1", "0"]) expect((await send({ uploadId: id, index: part }, options)).status).toBe(204);
        expect((await send({ uploadId: id, done: "true" }, { ...options, body: undefined })).status).toBe(202);
      }
      const head = { method: "HEAD", headers: { authorization: `Bearer ${job.token}` } };
      expect((await fetch(target.url + route, head)).status).toBe(200);
    },
  );

  it.each(routes)("is refused at %s for another repository or another commit", async (route) => {
    const other = await send(index({ repository: "other", commit: commits.other ?? "" }), { route });
    expect(other).toEqual({ status: 403, text: expect.stringContaining("another repository") });
    const none = await send(index({ repository: "none" }), { route });
    expect(none).toEqual({ status: 403, text: expect.stringContaining("another repository") });
    const commit = await send(index({ commit: "0".repeat(40) }), { route });
    expect(commit).toEqual({ status: 403, text: expect.stringContaining("another commit") });
    const parts = await send(index({ repository: "other", multiPart: "true", numParts: "1" }), { route });
    expect(parts.status).toBe(403);
  });

  it("can't continue an upload of another job, a user or an earlier attempt: the answer is 404", async () => {
    const theirs = await take("app");
    const multiPart = { multiPart: "true", numParts: "1" };
    const uploads = [
      await send(index(multiPart), { as: theirs.token }),
      await send(index(multiPart), { as: target.instance.executorToken, scheme: "token-executor" }),
      await send(index(multiPart), { as: target.instance.administratorToken, route: "/.api/scip/upload" }),
    ];
    const own = JSON.parse((await send(index(multiPart))).text) as { id: string };
    await sql`update code_intel_uploads set attempt = attempt + 1 where id = ${Number(own.id)}`.execute(db);
    const ids = [...uploads.map(({ text }) => (JSON.parse(text) as { id: string }).id), own.id];
    for (const id of ids) {
      expect((await send({ uploadId: id, index: "0" })).status).toBe(404);
      expect((await send({ uploadId: id, done: "true" })).status).toBe(404);
    }
    const trusted = { as: target.instance.executorToken, scheme: "token-executor" };
    for (const id of ids) expect((await send({ uploadId: id, index: "0" }, trusted)).status).toBe(204);
  });

  it("does not outlast the attempt: what arrives until later is not kept", async () => {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("ind"));
        await ended;
        controller.enqueue(new TextEncoder().encode("ex"));
        controller.close();
      },
    });
    const slow = fetch(`${target.url}${routes[0]}?${new URLSearchParams(index())}`, {
      method: "POST",
      headers: { authorization: `Bearer ${job.token}` },
      body,
      duplex: "half",
    } as RequestInit);
    const uploads = async () => (await sql`select from code_intel_uploads where job = ${job.id}`.execute(db)).rows;
    await expect.poll(async () => (await uploads()).length).toBe(1);
    const report = { executorName: "one", jobId: job.id };
    await target.executor("queue/default/markComplete", report, jobHeaders(job, "one"));
    end();
    expect((await slow).status).toBe(404);
    expect(await uploads()).toEqual([]);
  });

  it("does not keep others from sending, however many uploads a job begins", async () => {
    await sql`insert into code_intel_uploads
      (repository, commit, root, indexer_name, indexer_version, content_type, num_parts, job, attempt)
      select 'app', ${commits.app}, '', '', '', '', 1, ${job.id}, ${job.airlock.attempt} + 1 from generate_series(1, 300)`.execute(
      db,
    );
    const trusted = { as: target.instance.executorToken, scheme: "token-executor" };
    expect((await send(index(), trusted)).status).toBe(202);
    expect((await send(index())).status).toBe(202);
  });

  it("is no longer possible after the attempt ended", async () => {
    const body = { executorName: "one", jobId: job.id };
    const ended = await target.executor("queue/default/markComplete", body, jobHeaders(job, "one"));
    expect(ended.status).toBeLessThan(300);
    for (const route of routes) expect((await send(index(), { route })).status).toBeGreaterThanOrEqual(401);
  });

  it("is refused without a known token, before the body is read", async () => {
    for (const route of routes) {
      for (const scheme of ["Bearer", "token", "token-executor", "Basic"]) {
        expect((await send(index(), { route, scheme, as: "0".repeat(40) })).status).toBe(401);
      }
      expect((await fetch(target.url + route, { method: "POST" })).status).toBe(401);
    }
  });

  it("has a total size limit for all indexes and parts of the attempt", async () => {
    const half = "x".repeat(limit / 2);
    expect((await send(index(), { body: "x".repeat(limit + 1) })).status).toBe(413);
    expect((await send(index(), { body: half })).status).toBe(202);
    const started = await send(index({ multiPart: "true", numParts: "3" }), { body: undefined });
    const { id } = JSON.parse(started.text) as { id: string };
    expect((await send({ uploadId: id, index: "0" }, { body: half })).status).toBe(204);
    const more = await send({ uploadId: id, index: "1" }, { body: "x" });
    expect(more).toEqual({ status: 413, text: expect.stringContaining("AIRLOCK_MAX_ARTIFACT_SIZE") });
    // Another job has a limit of its own, and users are not limited by it.
    expect((await send(index(), { as: (await take("app")).token, body: half })).status).toBe(202);
    const user = { as: target.instance.administratorToken, route: "/.api/scip/upload", body: half + half + half };
    expect((await send(index(), user)).status).toBe(202);
  });

  it("has a limit on the number of indexes", async () => {
    await sql`insert into code_intel_uploads
      (repository, commit, root, indexer_name, indexer_version, content_type, num_parts, job, attempt)
      select 'app', ${commits.app}, '', '', '', '', 1, ${job.id}, ${job.airlock.attempt} from generate_series(1, 100)`.execute(
      db,
    );
    expect(await send(index())).toEqual({ status: 403, text: expect.stringContaining("at most 100") });
  });

  it("does not give the token access to routes of executors, users or other jobs", async () => {
    const authorization = { authorization: `Bearer ${job.token}` };
    for (const [method, route] of [
      ["GET", "/.executors/test/auth"],
      ["POST", "/.executors/queue/default/dequeue"],
      ["POST", "/.executors/queue/default/heartbeat"],
      ["GET", "/api/v1/jobs"],
      ["POST", "/api/v1/jobs"],
    ] as const) {
      const response = await fetch(target.url + route, { method, headers: authorization });
      expect([route, response.status]).toEqual([route, 401]);
    }
  });
});
