import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  databaseFaults,
  type FaultyDatabaseProxy,
  startFaultyDatabaseProxy,
} from "../testing/faulty-database-proxy.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const executorName = "e";

describeWithEngines(["postgres"], "an instance whose database is in trouble", () => {
  const suite = new AsyncDisposableStack();
  let proxy: FaultyDatabaseProxy;
  let target: TestInstance;
  let job: TakenJob;
  let cookie: string;
  beforeAll(async () => {
    const database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    proxy = suite.use(await startFaultyDatabaseProxy(database.url));
    target = suite.use(await startTestInstance({ url: proxy.url }));
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
    await target.submit();
    const taken = await target.executor("queue/default/dequeue", { executorName, airlock: { waitMs: 5000 } });
    job = (await taken.json()) as TakenJob;
    const session = await target.rest("POST", "/session", { token: target.instance.administratorToken });
    cookie = (session.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  });
  afterAll(() => suite.disposeAsync());

  it.each(databaseFaults)('answers every route with 503 and Retry-After on "%s", and recovers', async (fault) => {
    proxy.turnTo(fault);
    const own = jobHeaders(job, executorName);
    const index = new URLSearchParams({ repository: "app", commit: "a".repeat(40) });
    const steps = [{ image: "alpine", run: "true" }];
    const log = {
      executorName,
      jobId: job.id,
      attempt: 1,
      events: [{ kind: "close", entryId: 1, exitCode: 0, durationMs: 0 }],
    };
    const responses = await Promise.all([
      target.rest("GET", "/jobs"),
      target.rest("POST", "/jobs", { steps }),
      target.rest("GET", `/jobs/${job.id}`),
      target.rest("POST", `/jobs/${job.id}/cancel`),
      target.rest("GET", "/queues"),
      target.rest("GET", "/executors"),
      target.rest("GET", "/repositories"),
      target.rest("GET", "/secrets"),
      fetch(`${target.url}/api/v1/session`, { headers: { cookie } }),
      fetch(`${target.url}/metrics`),
      target.executor("queue/default/dequeue", { executorName: "idle", airlock: { waitMs: 0 } }),
      target.executor("queue/default/heartbeat", { executorName, version: "V2", jobIds: [job.id] }),
      target.executor("queue/default/logs", log, own),
      target.executor("queue/default/markComplete", { executorName, jobId: job.id, attempt: 1 }, own),
      target.executor(`lsif/upload?${index}`, {}),
    ]);
    const answers = await Promise.all(
      responses.map(async (response) => ({
        route: new URL(response.url).pathname,
        status: response.status,
        retryAfter: response.headers.get("retry-after"),
        // PostgreSQL's messages belong in the log, not in the response.
        tells: /backend|terminat|starting up|no more of this|ECONN/i.test(await response.text()),
      })),
    );
    expect(answers).toEqual(answers.map(({ route }) => ({ route, status: 503, retryAfter: "1", tells: false })));

    proxy.turnTo("pass");
    await expect.poll(async () => (await target.rest("GET", "/jobs")).status).toBe(200);
  });
});
