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

  it("can be limited to jobs that ask for labels and to those queued since a time", async () => {
    const both = await target.submit({ labels: { gpu: "a100", zone: "eu" } });
    const one = await target.submit({ labels: { gpu: "a100" } });
    const ids = async (search: string) => (await list(search)).map(({ id }) => id);
    expect(await ids("label=gpu%3Da100")).toEqual([one, both]);
    expect(await ids("label=gpu%3Da100&label=zone%3Deu")).toEqual([both]);
    expect(await ids("label=gpu%3Da10")).toEqual([]);
    // Keys and values are data, also where they look like JSON or SQL.
    expect(await ids(`label=${encodeURIComponent(`gpu":"a100"}' or true --=x`)}`)).toEqual([]);
    expect(await ids("label=gpu%3Da100&since=2020-01-01T00:00:00Z")).toEqual([one, both]);
    expect(await ids("since=2999-01-01T00:00:00Z")).toEqual([]);
  });

  it("can be limited to jobs with a text in their repository, revision or failure", async () => {
    const jobs = [await target.submit({}), await target.submit({ namespace: "team" })];
    const ids = async (search: string) => (await list(`text=${encodeURIComponent(search)}`)).map(({ id }) => id);
    const { revision } = await one(jobs[0] ?? 0);
    for (const part of [revision.toUpperCase(), revision.toLowerCase().slice(1)]) {
      expect(await ids(part)).toEqual(expect.arrayContaining(jobs));
    }
    expect((await list(`namespace=team&text=${revision}`)).map(({ id }) => id)).not.toContain(jobs[0]);
    expect(await ids("no job has this")).toEqual([]);
    // Characters of patterns are data.
    for (const pattern of ["%", "_", "\\", "' or true --"]) expect(await ids(pattern)).toEqual([]);
    expect((await target.rest("GET", `/jobs?text=${"x".repeat(201)}`)).status).toBe(400);
    expect((await target.rest("GET", "/jobs?text=%00")).status).toBe(400);
  });

  it.each([
    ["a label without a value", "label=gpu"],
    ["a label without a key", "label=%3Dx"],
    ["a label with NUL", "label=a%3D%00"],
    ["a label that is too long", `label=a%3D${"x".repeat(600)}`],
    ["more labels than a query may have", Array.from({ length: 21 }, (_, n) => `label=k${n}%3Dx`).join("&")],
    ["a time that is not a time", "since=yesterday"],
    ["a time that does not exist", "since=2026-02-31T00:00:00Z"],
    ["two times", "since=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z"],
  ])("refuses %s", async (_, search) => {
    const response = await target.rest("GET", `/jobs?${search}`);
    expect(response.status).toBe(400);
    expect(JSON.stringify(await response.json())).toMatch(/label|since/);
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
