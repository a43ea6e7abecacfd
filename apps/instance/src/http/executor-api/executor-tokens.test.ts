import { ApiError, CreatedExecutorToken, ExecutorTokenList, RevokedExecutorToken } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isExecutorToken } from "../../executors/executor-tokens.ts";
import { tablesWithText } from "../../testing/tables-with-text.ts";
import { installTestClock, type TestClock } from "../../testing/test-clock.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const minuteMs = 60_000;

describeWithEngines(["postgres"], "executor tokens", () => {
  let target: TestInstance;
  let withoutSecret: TestInstance;
  let clock: TestClock;
  beforeAll(async () => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(database);
    withoutSecret = await startTestInstance({ url: database.url }, { acceptSharedSecret: false });
    clock = await installTestClock(target.instance.databaseUrl);
    for (const name of ["red", "blue"]) {
      await target.rest("POST", "/queues", { name, leaseMs: 3_600_000 });
    }
  });
  afterAll(async () => {
    await clock?.[Symbol.asyncDispose]();
    await withoutSecret?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
  });

  const create = async (queue = "red") =>
    CreatedExecutorToken.parse(await (await target.rest("POST", "/executor-tokens", { name: "rack 1", queue })).json());
  const list = async () => ExecutorTokenList.parse(await (await target.rest("GET", "/executor-tokens")).json()).tokens;
  const refusal = async (response: Response) => ApiError.parse(await response.json()).error;
  const headersOf = (token: string) => ({ authorization: `token-executor ${token}` });
  const dequeue = (token: string, queue: string, executorName: string, more: object = {}, at = target) =>
    at.executor(`queue/${queue}/dequeue`, { executorName, version: "6.0.0", ...more }, headersOf(token));
  const heartbeat = (token: string, executorName: string, queueNames = ["red"], at = target) =>
    at.executor(
      "queue/heartbeat",
      {
        executorName,
        queueNames,
        jobIdsByQueue: [],
        os: "",
        architecture: "",
        dockerVersion: "",
        executorVersion: "6.0.0",
        gitVersion: "",
        igniteVersion: "",
        srcCliVersion: "",
        prometheusMetrics: "",
      },
      headersOf(token),
    );

  it("are shown once, and only their hash is stored", async () => {
    const { token, ...view } = await create();
    expect(token).toMatch(/^airlock_exec_[0-9a-f]{48}$/);
    expect(isExecutorToken(token)).toBe(true);
    expect(isExecutorToken(token.replace(/.$/, (last) => (last === "0" ? "1" : "0")))).toBe(false);
    expect(await tablesWithText(target.instance.databaseUrl, [token])).toEqual([]);
    expect(await list()).toContainEqual(view);
    expect(view).toMatchObject({ name: "rack 1", queue: "red", createdBy: "administrator", executors: [] });
  });

  it("get jobs of their queue, and are listed with the executors that use them", async () => {
    const { token, id } = await create();
    const job = await target.submit({ queue: "red" });
    expect((await heartbeat(token, "red-1")).status).toBe(200);
    const taken = (await (await dequeue(token, "red", "red-1")).json()) as TakenJob;
    expect(taken.id).toBe(job);
    const done = await target.executor(
      "queue/red/markComplete",
      { executorName: "red-1", jobId: job },
      jobHeaders(taken, "red-1"),
    );
    expect(done.status).toBe(204);
    const used = (await list()).find((one) => one.id === id);
    expect(used?.lastAddress).toBe("127.0.0.1");
    expect(used?.executors).toEqual([{ name: "red-1", lastUsedAt: expect.any(String) }]);
  });

  it("get nothing of another queue", async () => {
    const { token } = await create();
    await target.submit({ queue: "blue" });
    for (const response of [
      await dequeue(token, "blue", "red-2"),
      // The answer does not tell which queues exist.
      await dequeue(token, "none", "red-2"),
      await target.executor(
        "queue/dequeue",
        { executorName: "red-2", version: "6.0.0", queues: ["red", "blue"] },
        headersOf(token),
      ),
      await heartbeat(token, "red-2", ["red", "blue"]),
      await target.executor("queue/blue/canceled", { executorName: "red-2" }, headersOf(token)),
    ]) {
      expect([response.status, await response.text()]).toEqual([403, "the token is for another queue"]);
    }
    const known = await fetch(`${target.url}/.executors/test/auth?queues=red,blue,none`, { headers: headersOf(token) });
    expect(known.headers.get("x-airlock-unknown-queues")).toBe("blue,none");
  });

  it("can't use the name of another queue's executor", async () => {
    const { token } = await create();
    const blue = await create("blue");
    expect((await heartbeat(blue.token, "blue-1", ["blue"])).status).toBe(200);
    const events = fetch(`${target.url}/.executors/events?executorName=blue-1`, { headers: headersOf(token) });
    for (const response of [await dequeue(token, "red", "blue-1"), await heartbeat(token, "blue-1"), await events]) {
      expect(response.status).toBe(403);
      expect(await response.text()).toMatch(/can't use the name "blue-1".*EXECUTOR_DATA_DIR/);
    }
  });

  it("stay valid for the overlap after a rotation", async () => {
    const old = await create();
    const path = `/executor-tokens/${old.id}/rotate`;
    const answer = await target.rest("POST", path, { overlapMs: 10 * minuteMs });
    const next = CreatedExecutorToken.parse(await answer.json());
    expect(next).toMatchObject({ name: "rack 1", queue: "red", expiresAt: null });
    expect((await refusal(await target.rest("POST", path, {}))).code).toBe("token-replaced");
    for (const { token } of [old, next]) expect((await heartbeat(token, "red-3")).status).toBe(200);
    await clock.moveBy(11 * minuteMs);
    expect((await heartbeat(old.token, "red-3")).status).toBe(401);
    expect((await heartbeat(next.token, "red-3")).status).toBe(200);
  });

  it("that are revoked end waiting polls and streams, and their jobs can still be reported", async () => {
    const { token, id } = await create();
    const job = await target.submit({ queue: "red" });
    const taken = (await (await dequeue(token, "red", "red-4")).json()) as TakenJob;
    const poll = dequeue(token, "red", "red-4", { airlock: { waitMs: 30_000 } });
    const stream = await fetch(`${target.url}/.executors/events?executorName=red-4`, { headers: headersOf(token) });
    const revoked = await target.rest("DELETE", `/executor-tokens/${id}`);
    expect(RevokedExecutorToken.parse(await revoked.json())).toEqual({ runningJobs: [job] });
    expect((await heartbeat(token, "red-4")).status).toBe(401);
    const next = await target.submit({ queue: "red" });
    expect((await poll).status).toBe(401);
    expect(await (await target.rest("GET", `/jobs/${next}`)).json()).toMatchObject({ state: "queued" });
    await stream.text();
    const body = { executorName: "red-4", jobId: job };
    expect((await target.executor("queue/red/markComplete", body, jobHeaders(taken, "red-4"))).status).toBe(204);
    expect((await refusal(await target.rest("DELETE", `/executor-tokens/${id}`))).code).toBe("not-found");
  });

  it("that are revoked while an executor begins to poll are refused, and are no error of the instance", async () => {
    const { token, id } = await create();
    const client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
    // Otherwise the poll's check would wait to record this use.
    expect((await heartbeat(token, "red-7")).status).toBe(200);
    try {
      await client.query("begin");
      await client.query("delete from executor_tokens where id = $1", [id]);
      const poll = dequeue(token, "red", "red-6", { airlock: { waitMs: 30_000 } });
      // The poll has passed the check of its token, and waits for this transaction.
      await expect
        .poll(async () => {
          await client.query("select pg_stat_clear_snapshot()");
          const { rows } = await client.query(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
          );
          return rows.length;
        })
        .toBeGreaterThan(0);
      await client.query("commit");
      await target.submit({ queue: "red" });
      expect((await poll).status).toBe(401);
    } finally {
      await client.end();
    }
  });

  it("replace the shared secret where it is switched off", async () => {
    const { token } = await create();
    const secret = target.instance.executorToken;
    expect((await heartbeat(secret, "red-5", ["red"], withoutSecret)).status).toBe(401);
    expect((await heartbeat(token, "red-5", ["red"], withoutSecret)).status).toBe(200);
    expect((await dequeue(secret, "red", "red-5", {}, withoutSecret)).status).toBe(401);
    for (const path of ["lsif", "scip"]) {
      const upload = await fetch(`${withoutSecret.url}/.executors/${path}/upload`, {
        method: "POST",
        headers: headersOf(secret),
      });
      expect(upload.status).toBe(401);
    }
  });

  it("are refused to executors that report on jobs without a job token", async () => {
    const { token } = await create();
    const response = await dequeue(token, "red", "old", { version: "4.5.0" });
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining("not with an executor token"),
    ]);
  });

  it("are refused in addresses, and for queues that do not exist", async () => {
    const { token } = await create();
    expect((await refusal(await target.rest("GET", `/jobs?text=${token}`))).code).toBe("token-in-address");
    const unknown = await target.rest("POST", "/executor-tokens", { name: "x", queue: "none" });
    expect((await refusal(unknown)).code).toBe("unknown-queue");
    const wrong = await target.rest("POST", "/executor-tokens", { name: "", queue: "red" });
    expect((await refusal(wrong)).issues?.join()).toContain("name:");
  });
});
