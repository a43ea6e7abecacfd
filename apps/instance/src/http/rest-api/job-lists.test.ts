import type { JobList, JobSummary, JobView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "the list of jobs", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.rest("POST", "/queues", { name: "gpu" });
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const list = async (search: string) => {
    const response = await target.rest("GET", `/jobs?${search}`);
    expect(response.status).toBe(200);
    return ((await response.json()) as JobList).jobs;
  };
  const one = async (id: number): Promise<JobSummary> => {
    const job = (await list("limit=200")).find((each) => each.id === id);
    if (!job) throw new Error(`job ${id} is not in the list`);
    return job;
  };
  const heartbeat = (executorName: string, airlock: Record<string, unknown> = {}) =>
    target.executor("queue/gpu/heartbeat", { version: "V2", executorName, jobIds: [], airlock });

  it("can be limited to the jobs of one namespace", async () => {
    const mine = await target.submit({ namespace: "team" });
    await target.submit({});
    expect((await list("namespace=team")).map(({ id, namespace }) => ({ id, namespace }))).toEqual([
      { id: mine, namespace: "team" },
    ]);
    expect((await list("namespace=default")).map(({ id }) => id)).not.toContain(mine);
    expect((await target.rest("GET", "/jobs?namespace=No%20Name")).status).toBe(400);
  });

  it("explains that no executor can take a queued job, until a suitable executor connects", async () => {
    const id = await target.submit({ queue: "gpu", labels: { gpu: "a100" } });
    expect((await one(id)).obstacle).toBe('No executor is connected to queue "gpu".');
    await heartbeat("plain", { labels: { gpu: "t4" } });
    expect((await one(id)).obstacle).toBe('No executor of queue "gpu" offers gpu=a100.');
    const view = (await (await target.rest("GET", `/jobs/${id}`)).json()) as JobView;
    expect(view.obstacle).toBe(view.explanation.message);
    await heartbeat("suited", { labels: { gpu: "a100" } });
    expect((await one(id)).obstacle).toBeNull();
  });

  it("gives no such explanation for a job that is no longer queued", async () => {
    const id = await target.submit({ queue: "gpu" });
    await target.rest("POST", `/jobs/${id}/cancel`);
    expect((await one(id)).obstacle).toBeNull();
  });

  it("leads to job pages with the names of their steps' secrets, but never the values", async () => {
    await target.rest("PUT", "/secrets/NPM_TOKEN", { value: "the-value-of-a-secret" });
    const secrets = ["NPM_TOKEN"];
    const id = await target.submit({ steps: [{ key: "use", image: "alpine", run: "true", secrets }] });
    const text = await (await target.rest("GET", `/jobs/${id}`)).text();
    expect((JSON.parse(text) as JobView).steps[0]?.secrets).toEqual([{ name: "NPM_TOKEN", file: false }]);
    expect(text).not.toContain("the-value");
  });
});
