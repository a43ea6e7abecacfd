import { JobUsage, type StepUsage } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const executorName = "e";
const usage: StepUsage = {
  step: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  intervalMs: 1000,
  durationMs: 1500,
  limits: { cpus: 2, memoryBytes: 1024, diskBytes: null },
  cpuMs: [10, 5],
  memoryBytes: [100, 900],
  diskBytes: null,
  receivedBytes: [1, 2],
  sentBytes: [0, 0],
};

describeWithEngines(["postgres"], "what steps use", () => {
  let target: TestInstance;
  let job: TakenJob;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.submit({});
    const body = { executorName, airlock: { waitMs: 5000, capabilities: ["usage"] } };
    job = (await (await target.executor("queue/default/dequeue", body)).json()) as TakenJob;
  });
  afterAll(() => target?.[Symbol.asyncDispose]());

  const report = (of: object, headers = jobHeaders(job, executorName)) =>
    target.executor("queue/default/usage", { executorName, jobId: job.id, attempt: 1, usage: of }, headers);
  const read = async (query = "?attempt=1") => {
    const response = await target.rest("GET", `/jobs/${job.id}/usage${query}`);
    return { status: response.status, body: await response.json() };
  };

  it("is kept, replaced by a newer report of the step, and read in the order of the steps", async () => {
    expect((await report(usage)).status).toBe(204);
    const longer = { ...usage, durationMs: 2000, cpuMs: [10, 9] };
    expect((await report(longer)).status).toBe(204);
    expect((await report({ ...usage, step: 0 })).status).toBe(204);
    const steps = [{ ...usage, step: 0 }, longer];
    expect(JobUsage.parse((await read()).body)).toEqual({ attempt: 1, steps });
    expect((await read("?attempt=7")).body).toEqual({ attempt: 7, steps: [] });
    expect((await read("")).body).toEqual({ attempt: 1, steps });
    expect((await read("?attempt=0")).status).toBe(400);
    expect((await target.rest("GET", "/jobs/999/usage?attempt=1")).status).toBe(404);
  });

  it.each([
    ["too many samples", { cpuMs: Array(601).fill(1), memoryBytes: null, receivedBytes: null, sentBytes: null }],
    ["series of different lengths", { cpuMs: [1] }],
    ["a negative number", { cpuMs: [-1, 0] }],
    ["text in place of a number", { cpuMs: ["1", 0] }],
    ["a step that no job can have", { step: 1000 }],
  ])("is refused with %s", async (_, change) => {
    const response = await report({ ...usage, ...change });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("usage");
  });

  it("is taken only of the running attempt, and from its own executor", async () => {
    const { id } = (await (
      await target.rest("POST", "/jobs", { steps: [{ key: "a", image: "b", run: "c" }] })
    ).json()) as {
      id: number;
    };
    const stranger = { executorName, jobId: id, attempt: 1, usage };
    expect((await target.executor("queue/default/usage", stranger, jobHeaders(job, executorName))).status).toBe(403);
    expect((await report(usage, { ...jobHeaders(job, executorName), authorization: "Bearer wrong" })).status).toBe(401);
    const end = { executorName, jobId: job.id, attempt: 1 };
    expect((await target.executor("queue/default/markComplete", end, jobHeaders(job, executorName))).status).toBe(204);
    expect([401, 409]).toContain((await report(usage)).status);
    expect(JobUsage.parse((await read()).body).steps).toHaveLength(2);
  });
});
