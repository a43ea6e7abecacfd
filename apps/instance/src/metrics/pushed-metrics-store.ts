import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { type PushedMetrics, parsePushedMetrics } from "./pushed-metrics.ts";

/** The retention time of the protocol's own instances. An executor sends a heartbeat every 5 s. */
const keptMs = 30_000;
/** Limit for the series of all executors together on one page. */
const maxTotalSeries = 100_000;

/** Limit for what all executors together push, so that a client with many made-up names can't fill the disk. */
const maxStoredBytes = 256 * 1024 * 1024;

/** Stores an executor's pushed metrics and replaces its earlier ones. Leaves them out if all executors' exceed a limit. */
export async function storePushedMetrics(db: Database, executor: string, text: string): Promise<void> {
  if (text === "") return;
  const metrics = parsePushedMetrics(executor, text);
  const content = JSON.stringify(metrics);
  await sql`
    insert into executor_metrics (executor, series, content)
    select ${executor}, ${metrics.series.length}, ${content}
    where ${maxStoredBytes - Buffer.byteLength(content)} >= (
      select coalesce(sum(octet_length(content)), 0) from executor_metrics where executor <> ${executor})
    on conflict (executor) do update
    set series = excluded.series, content = excluded.content, pushed_at = airlock_now()`.execute(db);
}

export interface ReadPushedMetrics {
  readonly metrics: readonly PushedMetrics[];
  /** Number of series that the page has no room for. */
  readonly left: number;
}

/** Reads recently pushed metrics. If they exceed `limit` series, leaves out the executors with the most series. */
export async function readPushedMetrics(db: Database, limit: number = maxTotalSeries): Promise<ReadPushedMetrics> {
  const { rows } = await sql<{ content: string | null; series: number }>`
    select case when total <= ${limit} then content end as content, series
    from (
      select content, series, executor, sum(series) over (order by series, executor) as total
      from executor_metrics where pushed_at >= airlock_now() - make_interval(secs => ${keptMs / 1000})
    ) pushed
    order by executor`.execute(db);
  // The text can be trusted: it was parsed before it was stored.
  const metrics = rows.flatMap(({ content }) => (content === null ? [] : [JSON.parse(content) as PushedMetrics]));
  const left = rows.reduce((sum, { content, series }) => sum + (content === null ? series : 0), 0);
  return { metrics, left };
}

/** Deletes metrics that no page shows any more. */
export async function forgetPushedMetrics(db: Database): Promise<void> {
  await sql`
    delete from executor_metrics
    where pushed_at < airlock_now() - make_interval(secs => ${(2 * keptMs) / 1000})`.execute(db);
}
