import { createServer } from "node:http";
import { AirlockError } from "@airlock/job";

export interface HealthServerOptions {
  readonly host: string;
  readonly port: number;
  /** Whether the instance answered recently. */
  readonly isHealthy: () => boolean;
  readonly metrics: () => string;
}

/** Serves `/healthz` and `/metrics` for orchestrators. */
export async function startHealthServer(
  options: HealthServerOptions,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((request, response) => {
    const respond = (status: number, body: string) => {
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
      response.end(body);
    };
    if (request.url === "/healthz") {
      return options.isHealthy() ? respond(200, "ok\n") : respond(503, "the instance has not answered for a minute\n");
    }
    if (request.url === "/metrics") return respond(200, options.metrics());
    return respond(404, "not found\n");
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.host, resolve);
  await promise.catch((cause: unknown) => {
    throw new AirlockError(`cannot listen on ${options.host}:${options.port}`, {
      code: "health-server",
      hint: "Free the port, or set EXECUTOR_HEALTH_SERVER_ADDR to another address.",
      cause,
    });
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
