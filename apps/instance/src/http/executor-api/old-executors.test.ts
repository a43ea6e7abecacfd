import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

/** The protocol of 2022: one queue, numeric ids, and the shared secret for everything. */
describeWithEngines(["postgres"], "an executor from 2022", () => {
  let stack: AsyncDisposableStack;
  let repository: string;
  const start = async (legacySharedSecret: boolean) => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    const target = stack.use(await startTestInstance(database, { legacySharedSecret }));
    await target.rest("POST", "/repositories", { name: "team/app", url: repository });
    return target;
  };
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const directory = stack.use(await temporaryDirectory());
    const commits = [{ message: "1", files: [{ path: "a", content: "a" }] }];
    repository = (await makeRepository(`${directory.path}/app`, commits)).path;
  });
  afterEach(() => stack.disposeAsync());

  const secretOf = (target: TestInstance) => ({ authorization: `token-executor ${target.instance.executorToken}` });
  const refs = async (target: TestInstance) => {
    const url = `${target.url}/.executors/git/team/app/info/refs?service=git-upload-pack`;
    return (await fetch(url, { headers: secretOf(target) })).status;
  };
  const me = { executorName: "of-2022" };

  it("can run a whole job with the shared secret where that is allowed", async () => {
    const target = await start(true);
    const files = { "input.json": "{}" };
    const id = await target.submit({ queue: "batches", repository: "team/app", files });

    const taken = await target.executor("queue/batches/dequeue", me);
    expect(await taken.json()).toMatchObject({
      id,
      repositoryName: "team/app",
      files: { "input.json": "{}" },
    });
    expect(await refs(target)).toBe(200);
    const entry = { ...me, jobId: id, key: "setup.git.init", command: ["git", "init"], startTime: new Date() };
    const added = await target.executor("queue/batches/addExecutionLogEntry", entry);
    expect([added.status, await added.json()]).toEqual([200, 1]);
    const grown = { ...entry, entryId: 1, out: "stdout: hello\n", exitCode: 0, durationMs: 3 };
    expect((await target.executor("queue/batches/updateExecutionLogEntry", grown)).status).toBe(204);
    const known = await target.executor("queue/batches/heartbeat", { ...me, jobIds: [id] });
    expect(await known.json()).toEqual([id]);
    expect(await (await target.executor("queue/batches/canceled", me)).json()).toEqual([]);
    expect((await target.executor("queue/batches/markComplete", { ...me, jobId: id })).status).toBe(204);

    expect(await (await target.rest("GET", `/jobs/${id}`)).json()).toMatchObject({ state: "completed" });
    expect(await (await target.rest("GET", `/jobs/${id}/logs`)).text()).toContain("hello");
  });

  it("gets files as plain text, version 4.1 as objects with text, and later versions as base64", async () => {
    const target = await start(true);
    const file = async (request: object) => {
      await target.submit({ queue: "batches", files: { a: "text" } });
      const taken = await target.executor("queue/batches/dequeue", { ...me, ...request });
      return ((await taken.json()) as { files: { a: unknown } }).files.a;
    };
    expect(await file({})).toBe("text");
    expect(await file({ numCPUs: 4, memory: "12G", diskSpace: "20G" })).toEqual({ content: "text" });
    expect(await file({ version: "4.3.0", numCPUs: 4 })).toEqual({ content: "dGV4dA==" });
  });

  it.each([
    ["its name only", {}],
    ["no version", { numCPUs: 4, memory: "12G", diskSpace: "20G" }],
    ["version 4.5", { version: "4.5.0" }],
    ["the date of an early build", { version: "190000_2022-12-24_5.0-abcdef" }],
  ])("gets no jobs by default and is told which setting would allow it, when it sends %s", async (_title, request) => {
    const target = await start(false);
    const id = await target.submit({ queue: "batches" });
    for (const [route, more] of [
      ["queue/batches/dequeue", {}],
      ["queue/dequeue", { queues: ["batches"] }],
    ] as const) {
      const refused = await target.executor(route, { ...me, ...request, ...more });
      expect([refused.status, await refused.text()]).toEqual([
        403,
        expect.stringContaining("AIRLOCK_LEGACY_SHARED_SECRET"),
      ]);
    }
    expect(await (await target.rest("GET", `/jobs/${id}`)).json()).toMatchObject({ state: "queued", attempt: 0 });
  });

  it("can't use the shared secret on a job's routes by default", async () => {
    const target = await start(false);
    const id = await target.submit({ queue: "batches", repository: "team/app" });
    await target.executor("queue/batches/dequeue", { ...me, version: "5.3.0" });

    expect(await refs(target)).toBe(403);
    const statuses = [];
    for (const route of [
      "markComplete",
      "markFailed",
      "markErrored",
      "addExecutionLogEntry",
      "updateExecutionLogEntry",
    ]) {
      statuses.push((await target.executor(`queue/batches/${route}`, { ...me, jobId: id })).status);
    }
    expect(statuses).toEqual([403, 403, 403, 403, 403]);
    expect(await (await target.rest("GET", `/jobs/${id}`)).json()).toMatchObject({ state: "processing" });
  });
});
