import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route reads its body as it comes and bounds the time itself. */
    streamsBody?: boolean;
  }
}

/**
 * Cuts off who sends a body slower than this. Node's own limit holds for every request of a server, and uploads may take
 * long; headers have a limit of their own.
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
