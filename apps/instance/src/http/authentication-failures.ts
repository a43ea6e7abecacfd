import type { FastifyInstance, FastifyRequest } from "fastify";
import { Counter } from "prom-client";
import type { Metrics } from "../metrics/metrics.ts";
import { senderOf } from "./shared/audit-source.ts";
import type { RefusalLog } from "./shared/refusal-log.ts";

/** Limits the log lines that a client can cause by guessing tokens. */
const maxLinesPerWindow = 20;
const windowMs = 60_000;

/**
 * Counts requests with missing, wrong or misused credentials, and logs the first of them in each minute. Logs their
 * source and target, never the credentials. The audit log gets those with credentials.
 */
export function watchAuthentication(app: FastifyInstance, metrics: Metrics, refusals: RefusalLog): void {
  const failures = new Counter({
    name: "airlock_http_authentication_failures_total",
    help: "Requests refused with 401 (no or unknown credentials) or 403 (credentials of something else).",
    labelNames: ["api", "status"],
    registers: [metrics.registry],
  });
  let windowEndsAt = 0;
  let lines = 0;
  let unlogged = 0;
  app.addHook("onResponse", async (request, reply) => {
    const status = reply.statusCode;
    if (status !== 401 && status !== 403) return;
    failures.inc({ api: request.url.startsWith("/.executors/") ? "executor" : "rest", status });
    await recordRefusal(request, status, refusals);
    const now = performance.now();
    if (now >= windowEndsAt) {
      if (unlogged > 0) request.log.warn({ refused: unlogged }, "further requests were refused for their credentials");
      windowEndsAt = now + windowMs;
      lines = 0;
      unlogged = 0;
    }
    if (lines >= maxLinesPerWindow) {
      unlogged += 1;
      return;
    }
    lines += 1;
    const { method, ip } = request;
    const route = request.routeOptions.url ?? "none";
    request.log.warn({ status, method, route, from: ip }, "request refused for its credentials");
  });
}

/** Routes that begin a session record refusals themselves. Requests without credentials prove and try nothing. */
async function recordRefusal(request: FastifyRequest, status: number, refusals: RefusalLog): Promise<void> {
  const { config, url: route } = request.routeOptions;
  if (!config.guarded || (status === 401 && request.headers.authorization === undefined)) return;
  try {
    const details = { code: String(status), route: `${request.method} ${route ?? ""}` };
    await refusals.record(senderOf(request), { action: "request.refused", details });
  } catch (error) {
    request.log.warn({ err: error }, "a refused request is missing in the audit log");
  }
}
