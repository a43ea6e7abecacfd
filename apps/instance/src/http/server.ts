import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AirlockError, errorMessage } from "@airlock/job";
import cookie from "@fastify/cookie";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import type { ListenAddress } from "../config/instance-config.ts";
import { checkHosts } from "./allowed-hosts.ts";
import { watchAuthentication } from "./authentication-failures.ts";
import { limitBodyTime } from "./body-deadline.ts";
import { executorApi } from "./executor-api/executor-api.ts";
import { answerFrameworkError } from "./framework-errors.ts";
import { limitConnections } from "./limit-connections.ts";
import { operationRoutes } from "./operation-routes.ts";
import { publicApi } from "./public-api/public-api.ts";
import { refuseTokensInAddresses } from "./refuse-tokens-in-addresses.ts";
import { restApi } from "./rest-api/rest-api.ts";
import { sendSecurityHeaders } from "./security-headers.ts";
import { toApiError } from "./shared/api-error.ts";
import type { InstanceContext } from "./shared/instance-context.ts";
import { sendProblems } from "./shared/problem-details.ts";
import { decodeBodies } from "./shared/read-bodies.ts";
import { requireRules } from "./shared/route-access.ts";
import { webRoutes } from "./web/web-routes.ts";

const bodyLimit = 1024 * 1024;
/** From the first byte of a request to the last byte of its body. Slower clients are disconnected. */
const requestTimeoutMs = 30_000;
const headersTimeoutMs = 10_000;
const keepAliveTimeoutMs = 75_000;

/** Creates the server for all HTTP routes of the instance. The caller starts and closes it. */
export async function createHttpServer(context: InstanceContext): Promise<FastifyInstance> {
  const loggerInstance: FastifyBaseLogger = context.logger;
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    trustProxy: context.config.trustedProxies.length > 0 ? [...context.config.trustedProxies] : false,
    frameworkErrors: answerFrameworkError,
    // Path parameters contain repository names, in which each slash is encoded as three characters (%2F).
    routerOptions: { maxParamLength: 1024 },
    serverFactory: (handler) =>
      createServer(
        {
          requestTimeout: 0,
          headersTimeout: headersTimeoutMs,
          keepAliveTimeout: keepAliveTimeoutMs,
          connectionsCheckingInterval: 2000,
          maxHeaderSize: 16 * 1024,
          noDelay: true,
        },
        handler,
      ),
    // close() below lets running responses finish first.
    forceCloseConnections: "idle",
    return503OnClosing: false,
  });
  // Fastify's own handler would send the database's error messages to the client.
  app.setErrorHandler((error, request, reply) => {
    const { status, body, headers = {} } = toApiError(error);
    if (status >= 500) request.log.error({ err: error }, "request failed");
    return reply.status(status).headers(headers).send(body);
  });
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    // These routes wait on purpose, so their duration says nothing about the instance.
    if (/\/dequeue$|\/events$/.test(route)) return;
    context.metrics.httpDuration.observe(
      { method: request.method, route, status: reply.statusCode },
      reply.elapsedTime / 1000,
    );
  });
  requireRules(app);
  sendProblems(app);
  sendSecurityHeaders(app, context.config.externalUrl);
  checkHosts(app, context.config);
  refuseTokensInAddresses(app);
  limitConnections(app.server);
  limitBodyTime(app, requestTimeoutMs);
  decodeBodies(app);
  watchAuthentication(app, context.metrics, context.refusals);
  await app.register(cookie);
  // The protocol's router redirects a trailing slash before it checks anything else.
  app.addHook("onRequest", async (request, reply) => {
    const [path = "", query] = request.url.split("?");
    if (path.startsWith("/.executors/") && path.endsWith("/") && path !== "/.executors/") {
      return reply.redirect(`${path.replace(/\/+$/, "")}${query === undefined ? "" : `?${query}`}`, 301);
    }
  });
  operationRoutes(app, context);
  await app.register((scope) => executorApi(scope, context), { prefix: "/.executors" });
  await app.register((scope) => publicApi(scope, context), { prefix: "/.api" });
  await app.register((scope) => restApi(scope, context), { prefix: "/api/v1" });
  await app.register((scope) => webRoutes(scope, context.config.webDirectory));
  return app;
}

/** @throws {AirlockError} `listen-failed` when the port is taken or the address doesn't belong to this machine. */
export async function listen(app: FastifyInstance, address: ListenAddress): Promise<string> {
  const text = address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  try {
    await app.listen({ host: address.host, port: address.port, listenTextResolver: () => "listening" });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem =
      code === "EADDRINUSE" ? "the port is in use" : code === "EACCES" ? "not permitted" : errorMessage(cause);
    throw new AirlockError(`cannot listen on ${text}: ${problem}`, {
      code: "listen-failed",
      hint: "Stop the program that uses the port, or choose another address with --listen or AIRLOCK_LISTEN.",
      cause,
    });
  }
  const { port } = app.server.address() as AddressInfo;
  return `http://${reachableHost(address.host)}:${port}`;
}

const closeGraceMs = 3000;

/** Stops accepting connections, gives running responses a moment to finish, then closes what is left. */
export async function close(app: FastifyInstance): Promise<void> {
  const startedAt = Date.now();
  // A connection that becomes idle after the server began to close would stay open for its keep-alive time.
  const timer = setInterval(() => {
    if (Date.now() - startedAt < closeGraceMs) app.server.closeIdleConnections();
    else app.server.closeAllConnections();
  }, 20);
  try {
    await app.close();
  } finally {
    clearInterval(timer);
  }
}

/** Clients can't connect to a wildcard address, so use the loopback address instead. */
function reachableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
