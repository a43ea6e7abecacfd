import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "the deletion of a queue", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function remove(name: string) {
    const response = await target.rest("DELETE", `/queues/${name}`);
    const text = await response.text();
    return { status: response.status, text };
  }

  it("is refused while jobs or executor tokens are there, with the reason, and frees the name afterwards", async () => {
    expect((await target.rest("POST", "/queues", { name: "nightly" })).status).toBe(201);
    const job = await target.submit({ queue: "nightly" });
    const waiting = await remove("nightly");
    expect(waiting).toMatchObject({ status: 409, text: expect.stringContaining("jobs wait or run in it (1)") });
    expect((await target.rest("POST", `/jobs/${job}/cancel`)).status).toBe(200);
    const kept = await remove("nightly");
    expect(kept).toMatchObject({ status: 409, text: expect.stringContaining("AIRLOCK_JOB_RETENTION") });

    expect((await target.rest("POST", "/queues", { name: "rack" })).status).toBe(201);
    const created = await target.rest("POST", "/executor-tokens", { name: "rack 1", queue: "rack" });
    const { id } = (await created.json()) as { id: number };
    const opened = await remove("rack");
    expect(opened).toMatchObject({ status: 409, text: expect.stringContaining("Revoke them first.") });
    expect((await target.rest("DELETE", `/executor-tokens/${id}`)).status).toBe(200);
    expect(await remove("rack")).toEqual({ status: 204, text: "" });
    expect((await remove("rack")).status).toBe(404);
    expect((await target.rest("POST", "/queues", { name: "rack" })).status).toBe(201);
  });

  it("is refused for the queue of jobs that name none", async () => {
    const refused = await remove("default");
    expect(refused).toMatchObject({ status: 409, text: expect.stringContaining("jobs that name no queue go there") });
  });
});
