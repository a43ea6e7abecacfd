import type { JobView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

describeWithEngines(["postgres"], "a manual retry", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    const request = { executorName: "e", airlock: { waitMs: 2000 } };
    return (await (await target.executor("queue/default/dequeue", request)).json()) as TakenJob;
  }
  const send = async (job: TakenJob, route: string, body: object) => {
    const all = { executorName: "e", jobId: job.id, ...body };
    return (await target.executor(`queue/default/${route}`, all, jobHeaders(job, "e"))).status;
  };
  const print = async (job: TakenJob, text: string) => {
    const entry = { key: "step.docker.main", command: [], startTime: new Date() };
    await send(job, "addExecutionLogEntry", entry);
    await send(job, "updateExecutionLogEntry", { ...entry, entryId: 1, out: `stdout: ${text}\n`, exitCode: 1 });
  };
  const log = async (id: number, attempt: number) =>
    await (await target.rest("GET", `/jobs/${id}/logs?attempt=${attempt}&notes=false`)).text();

  it("adds an attempt to a job that failed or was given up, and keeps the results of the earlier attempts", async () => {
    await target.rest("PATCH", "/queues/default", { maxAttempts: 1 });
    const id = await target.submit();
    const outcomes = [
      ["markFailed", { errorMessage: "no", exitCode: 1 }, "failed"],
      ["markErrored", { errorMessage: "disk full", reason: "runtime" }, "errored"],
      ["markComplete", {}, "completed"],
    ] as const;
    for (const [index, [route, body, state]] of outcomes.entries()) {
      const job = await take();
      expect([job.id, job.airlock.attempt]).toEqual([id, index + 1]);
      await print(job, `words of attempt ${index + 1}`);
      expect(await send(job, route, { ...body, attempt: index + 1 })).toBe(204);
      const ended = (await (await target.rest("GET", `/jobs/${id}`)).json()) as JobView;
      expect(ended.state).toBe(state);
      if (index < 2) expect((await target.rest("POST", `/jobs/${id}/retry`)).status).toBe(200);
      // A report of the previous attempt has no effect on the running one.
      if (index < 2) expect(await send(job, "markComplete", { attempt: index + 1 })).toBe(404);
    }
    const { attempts } = (await (await target.rest("GET", `/jobs/${id}`)).json()) as JobView;
    expect(attempts.map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, "failed"],
      [2, "errored"],
      [3, "completed"],
    ]);
    for (const attempt of [1, 2, 3]) expect(await log(id, attempt)).toContain(`words of attempt ${attempt}`);
  });
});
