import { readFile } from "node:fs/promises";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../store/database.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { readPushedMetrics, storePushedMetrics } from "./pushed-metrics-store.ts";

const documentation = new URL("../../../../docs/autoscaling.md", import.meta.url);

describeWithEngines(["postgres"], "the metrics of two instances on one database", () => {
  let one: TestInstance;
  let two: TestInstance;
  let db: Database;

  beforeAll(async () => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    one = await startTestInstance(database);
    two = await startTestInstance({ url: database.url });
    db = await openDatabase({ url: database.url, maxConnections: 2 });
  });
  afterAll(async () => {
    await db?.destroy();
    await two?.[Symbol.asyncDispose]();
    await one?.[Symbol.asyncDispose]();
  });

  const page = async (at: TestInstance) => (await fetch(`${at.url}/metrics`)).text();
  const heartbeat = (at: TestInstance, executorName: string, prometheusMetrics = "") =>
    at.executor("queue/batches/heartbeat", { version: "V2", executorName, jobIds: [], prometheusMetrics });

  async function runJob(at: TestInstance): Promise<void> {
    await one.submit({ queue: "batches" });
    const taken = await at.executor("queue/batches/dequeue", { executorName: "e", airlock: {} });
    const job = (await taken.json()) as TakenJob;
    const body = { executorName: "e", jobId: job.id };
    expect((await at.executor("queue/batches/markComplete", body, jobHeaders(job, "e"))).status).toBe(204);
  }

  it("are open to programs on the same machine, and to others only with a token", async () => {
    const url = (await createDatabase(engines().postgres?.url ?? "")).url;
    const metricsToken = "the-token-of-prometheus";
    await using closed = await startTestInstance({ url }, { metricsToken });
    await using open = await startTestInstance({ url }, { openMetrics: true });
    const status = async (at: TestInstance, headers: Record<string, string> = {}) =>
      (await fetch(`${at.url}/metrics`, { headers })).status;
    expect(await status(closed)).toBe(200);
    for (const name of ["x-forwarded-for", "forwarded", "x-real-ip", "via"]) {
      const proxied = { [name]: "127.0.0.1" };
      expect([name, await status(closed, proxied), await status(open, proxied)]).toEqual([name, 401, 200]);
      const authorization = `Bearer ${metricsToken}`;
      expect([name, await status(closed, { ...proxied, authorization })]).toEqual([name, 200]);
    }
    expect(await status(closed, { authorization: `Bearer ${closed.instance.administratorToken}` })).toBe(200);
    for (const authorization of ["Bearer wrong", "Bearer ", "Basic YTpi", `token-executor ${metricsToken}`]) {
      expect([authorization, await status(closed, { authorization })]).toEqual([authorization, 401]);
    }
    // Without a token of its own, no other text is one.
    expect(await status(one, { authorization: "Bearer null" })).toBe(401);
  });

  it("have the names that existing dashboards query, and each family only once", async () => {
    await runJob(one);
    const text = await page(one);
    for (const name of [
      'src_executors_queue_size{queue="batches"} 0',
      'src_executor_total{queue="batches"} 0',
      'src_executor_queued_duration_seconds_total{queue="batches"} 0',
      'multiqueue_executor_dequeue_cache_size{queue="batches"} 1',
      "src_batch_spec_workspace_execution_worker_resetter_resets_total 0",
      "src_batch_spec_workspace_execution_worker_resetter_reset_failures_total 0",
      "src_batch_spec_workspace_execution_worker_resetter_reset_errors_total 0",
      "src_codeintel_background_index_record_resets_total 0",
      "src_codeintel_background_index_record_reset_failures_total 0",
      "src_codeintel_background_index_record_reset_errors_total 0",
      'src_workerutil_queue_depth{domain="executors_batches"} 0',
      'src_workerutil_dbworker_store_total{domain="executors_batches",op="dequeue"} 1',
      'airlock_attempt_duration_seconds_count{queue="batches",end="completed"} 1',
      'airlock_dequeue_wait_seconds_count{queue="batches"} 1',
    ]) {
      expect(text).toContain(`${name}\n`);
    }
    const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(families).toEqual([...new Set(families)]);
  });

  it("report the same queue values at both instances", async () => {
    await one.submit({ queue: "codeintel" });
    await runJob(two);
    for (const at of [one, two]) {
      const text = await page(at);
      expect(text).toContain('src_executors_queue_size{queue="codeintel"} 1\n');
      expect(text).toMatch(/^multiqueue_executor_dequeue_cache_size\{queue="batches"\} 2$/m);
    }
  });

  it("include the newest values that executors pushed to either instance", async () => {
    const pushed = (value: number) =>
      `# TYPE src_executor_processor_handlers gauge\nsrc_executor_processor_handlers ${value}`;
    await heartbeat(one, "pusher", pushed(1));
    await heartbeat(two, "pusher", pushed(2));
    for (const at of [one, two]) {
      const series = (await page(at)).match(/^src_executor_processor_handlers\{.*$/gm);
      expect(series).toEqual([
        'src_executor_processor_handlers{sg_instance="pusher",sg_job="sourcegraph-executors"} 2',
      ]);
    }
  });

  it("drop the values of a silent executor, and leave out the largest pushes when a page is full", async () => {
    await sql`update executor_metrics set pushed_at = pushed_at - interval '31 seconds'`.execute(db);
    expect(await page(two)).not.toContain('sg_instance="pusher"');
    const series = (count: number) => Array.from({ length: count }, (_, index) => `m${index} 1`).join("\n");
    await storePushedMetrics(db, "modest", series(10));
    await storePushedMetrics(db, "rogue", series(1_000_000));
    const { metrics, left } = await readPushedMetrics(db, 1000);
    expect([metrics.length, left]).toEqual([1, 2000]);
    const again = await readPushedMetrics(db);
    expect(again.metrics.map((one) => one.series.length).sort((a, b) => a - b)).toEqual([10, 2000]);
  });

  it("include every metric that the autoscaling guide queries", async () => {
    const guide = await readFile(documentation, "utf8");
    const text = `${await page(one)}`;
    const queries = [...guide.matchAll(/^\s*(?:- )?(?:query|seriesQuery|metricsQuery): (.+)$/gm)].map(
      ([, query]) => query ?? "",
    );
    const named = [...guide.matchAll(/^\| `([a-z_]+)`/gm)].map(([, name]) => name ?? "");
    expect(queries.length).toBeGreaterThanOrEqual(3);
    for (const query of queries) {
      const [, name, labels = ""] = /([a-z_]{4,})(?:\{(.*)\})?\)?$/.exec(query) ?? [];
      const series = labels.includes("<<") ? `${name}{` : labels ? `${name}{${labels}}` : `${name}`;
      expect(text, query).toContain(series);
    }
    await heartbeat(one, "e", "src_executor_processor_handlers 1");
    const now = await page(one);
    for (const name of named) expect(now, name).toMatch(new RegExp(`^${name}\\{`, "m"));
  });
});
