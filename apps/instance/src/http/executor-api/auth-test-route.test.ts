import { executorHeaders } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "the route that tests an executor's credentials", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function ask(query: string, secret = target.instance.executorToken) {
    const response = await fetch(`${target.instance.url}/.executors/test/auth${query}`, {
      headers: { authorization: `token-executor ${secret}` },
    });
    return { status: response.status, unknown: response.headers.get(executorHeaders.unknownQueues) };
  }

  it("tells an executor which of its queues do not exist", async () => {
    expect(await ask("?queues=default,no-such-queue,another")).toEqual({
      status: 200,
      unknown: "no-such-queue,another",
    });
    expect(await ask("?queues=default,batches")).toEqual({ status: 200, unknown: null });
  });

  it("tells nothing to callers that name no queues or have a wrong secret, and never repeats an invalid queue name", async () => {
    expect(await ask("")).toEqual({ status: 200, unknown: null });
    expect(await ask(`?queues=${encodeURIComponent("x\r\nset-cookie: a=b")}`)).toEqual({
      status: 200,
      unknown: null,
    });
    expect(await ask("?queues=no-such-queue", "wrong")).toEqual({ status: 401, unknown: null });
  });
});
