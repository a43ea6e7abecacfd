import type { JobView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const queue = "short";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "requests of an attempt", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await newDatabase());
    await target.rest("POST", "/queues", { name: queue, leaseMs: 2000 });
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function take(executorName: string, waitMs = 5000): Promise<TakenJob> {
    const response = await target.executor(`queue/${queue}/dequeue`, { executorName, airlock: { waitMs } });
    expect(response.status).toBe(200);
    return (await response.json()) as TakenJob;
  }
  const view = async (id: number): Promise<JobView> =>
    (await target.rest("GET", `/jobs/${id}`)).json() as Promise<JobView>;
  const now = () => new Date().toISOString();

  it("have no effect on any route once another attempt runs", async () => {
    const id = await target.submit({ queue });
    const lost = await take("lost");
    const next = await take("next");
    expect([next.id, next.airlock.attempt]).toEqual([id, 2]);
    const headers = jobHeaders(lost, "lost");
    const body = { executorName: "lost", jobId: id };
    const open = { kind: "open", entryId: 1, key: "step.docker.main", command: [], startTime: now() };

    const statuses = [];
    for (const [path, extra] of [
      ["markComplete", { attempt: 1 }],
      ["markComplete", {}],
      ["markFailed", { attempt: 1, errorMessage: "x" }],
      ["markErrored", { attempt: 1, errorMessage: "x" }],
      ["markComplete", { attempt: 2 }],
      ["addExecutionLogEntry", { key: "x", startTime: now() }],
      ["logs", { attempt: 1, events: [open] }],
      ["logs", { attempt: 2, events: [open] }],
    ] as const) {
      statuses.push((await target.executor(`queue/${queue}/${path}`, { ...body, ...extra }, headers)).status);
    }
    expect(statuses).toEqual([404, 404, 404, 404, 404, 500, 409, 409]);

    const beat = await target.executor(`queue/${queue}/heartbeat`, {
      executorName: "next",
      version: "V2",
      jobIds: [id],
      airlock: { attempts: { [id]: 1 } },
    });
    expect(await beat.json()).toEqual({ knownIds: [], cancelIds: [] });
    const job = await view(id);
    expect(job).toMatchObject({ state: "processing", attempt: 2, executor: "next", entries: [] });
    expect(job.attempts).toMatchObject([{ state: "errored", failureReason: "lease-lost" }, { state: "processing" }]);

    const done = await target.executor(
      `queue/${queue}/markComplete`,
      { executorName: "next", jobId: id, attempt: 2 },
      jobHeaders(next, "next"),
    );
    expect(done.status).toBe(204);
    expect((await view(id)).state).toBe("completed");
  });

  it("need the token that belongs to this job, executor and queue", async () => {
    const mine = { id: await target.submit({ queue }), job: await take("mine") };
    const theirs = { id: await target.submit({ queue }), job: await take("theirs") };
    const mark = (headers: Record<string, string>, body: Record<string, unknown>, path = queue) =>
      target.executor(`queue/${path}/markComplete`, body, headers).then((response) => response.status);
    const victim = { executorName: "theirs", jobId: theirs.id };

    expect(await mark(jobHeaders(mine.job, "mine"), victim)).toBe(403);
    expect(await mark(jobHeaders(mine.job, "theirs"), { executorName: "theirs", jobId: mine.id })).toBe(403);
    expect(await mark({ ...jobHeaders(mine.job, "mine"), "x-sourcegraph-job-id": String(theirs.id) }, victim)).toBe(
      403,
    );
    expect(await mark(jobHeaders(mine.job, "mine"), { executorName: "mine", jobId: mine.id }, "default")).toBe(403);
    // The shared secret is valid on a job's routes only with the setting for old executors.
    expect(await mark({ authorization: `token-executor ${target.instance.executorToken}` }, victim)).toBe(403);
    expect((await view(theirs.id)).state).toBe("processing");
    expect(await mark(jobHeaders(mine.job, "mine"), { executorName: "mine", jobId: mine.id })).toBe(204);
    expect(await mark(jobHeaders(theirs.job, "theirs"), victim)).toBe(204);
  });

  it("get the same answer when the executor repeats its report", async () => {
    const id = await target.submit({ queue });
    const job = await take("repeating");
    const body = { executorName: "repeating", jobId: id, attempt: 1 };
    const mark = (path: string, extra: Record<string, unknown> = {}) =>
      target
        .executor(`queue/${queue}/${path}`, { ...body, ...extra }, jobHeaders(job, "repeating"))
        .then((response) => response.status);
    expect([await mark("markComplete"), await mark("markComplete")]).toEqual([204, 204]);
    expect(await mark("markFailed", { errorMessage: "changed my mind" })).toBe(404);
    expect(await view(id)).toMatchObject({ state: "completed", exitCode: 0, failureReason: null });
  });

  it("may use the shared secret where old executors are allowed, but only for their own jobs", async () => {
    await using legacy = await startTestInstance(await newDatabase(), { legacySharedSecret: true });
    const id = await legacy.submit();
    await legacy.executor("queue/default/dequeue", { executorName: "old" });
    const mark = (executorName: string) =>
      legacy.executor("queue/default/markComplete", { executorName, jobId: id }).then((response) => response.status);
    expect([await mark("somebody-else"), await mark("old")]).toEqual([404, 204]);
  });

  it("can report the job's failure, with the exit code that the submitter sees", async () => {
    const id = await target.submit({ queue });
    const job = await take("failing");
    const body = {
      executorName: "failing",
      jobId: id,
      attempt: 1,
      errorMessage: "step main: exit code 3",
      exitCode: 3,
    };
    await target.executor(`queue/${queue}/markFailed`, body, jobHeaders(job, "failing"));
    expect(await view(id)).toMatchObject({
      state: "failed",
      exitCode: 3,
      failureReason: "step-failed",
      failureMessage: "step main: exit code 3",
      explanation: { code: "finished" },
    });
  });
});
