import { BlockList } from "node:net";
import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import { secretEqual } from "./shared/secret-equal.ts";

export interface MetricsAccess {
  /** Whether everyone may read the metrics. */
  readonly openMetrics: boolean;
  /** The token that Prometheus sends; `null`: none. */
  readonly metricsToken: string | null;
  readonly administratorToken: string;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Headers with which proxies say that they pass on a request of somebody else. */
const forwardingHeaders = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/**
 * Metrics name queues and executors, and tell how busy they are. Without a setting, only programs on the same machine
 * may read them, and those with a token.
 * @throws {AirlockError} `unauthorized`.
 */
export function requireMetricsAccess(request: FastifyRequest, access: MetricsAccess): void {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const [, token = ""] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    // Compare with both, so that the time does not tell which one is set.
    const isMetricsToken = secretEqual(token, access.metricsToken ?? access.administratorToken);
    if (isMetricsToken || secretEqual(token, access.administratorToken)) return;
    throw unauthorized("the token does not permit reading the metrics");
  }
  if (access.openMetrics || isLocal(request)) return;
  throw unauthorized("the metrics need a token");
}

/** Whether the request comes from this machine, and not through a proxy on it. */
function isLocal({ headers, socket }: FastifyRequest): boolean {
  if (forwardingHeaders.some((name) => headers[name] !== undefined)) return false;
  const address = socket.remoteAddress?.replace(/^::ffff:/, "") ?? "";
  return loopback.check(address, address.includes(":") ? "ipv6" : "ipv4");
}

function unauthorized(message: string): AirlockError {
  return new AirlockError(message, {
    code: "unauthorized",
    hint: "Send `Authorization: Bearer TOKEN` with the value of AIRLOCK_METRICS_TOKEN, or set AIRLOCK_METRICS_OPEN=true.",
  });
}
