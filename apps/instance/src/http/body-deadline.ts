import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route streams its body and limits the time itself. */
    streamsBody?: boolean;
  }
}

/**
 * Closes connections that take longer than `timeoutMs` to send a body. Node.js has only one limit for all requests of a
 * server, but uploads may take long. Headers have a separate limit.
 */
export function limitBodyTime(app: FastifyInstance, timeoutMs: number): void {
  app.addHook("onRequest", async (request) => {
    const { raw } = request;
    const hasBody = raw.headers["transfer-encoding"] !== undefined || Number(raw.headers["content-length"] ?? 0) > 0;
    if (!hasBody || request.routeOptions.config.streamsBody) return;
    const timer = setTimeout(() => {
      if (!raw.complete) raw.socket.destroy();
    }, timeoutMs);
    for (const event of ["end", "close"] as const) raw.once(event, () => clearTimeout(timer));
  });
}
