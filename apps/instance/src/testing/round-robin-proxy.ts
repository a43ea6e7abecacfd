import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A minimal load balancer: each request goes to the next upstream, regardless of the client. */
export interface RoundRobinProxy extends AsyncDisposable {
  readonly url: string;
  /** Number of requests that each upstream has answered, in the order of `upstreams`. */
  readonly answered: readonly number[];
}

/** @param upstreams Base URLs. An upstream that refuses connections is skipped. */
export async function startRoundRobinProxy(upstreams: readonly string[]): Promise<RoundRobinProxy> {
  const answered = upstreams.map(() => 0);
  let turn = 0;

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, tries: number): void {
    const index = turn++ % upstreams.length;
    const target = new URL(incoming.url ?? "/", upstreams[index]);
    const upstream = request(target, { method: incoming.method, headers: incoming.headers, agent: false });
    upstream.on("response", (response) => {
      answered[index] = (answered[index] ?? 0) + 1;
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      // Forward events as they arrive, and the headers even before the first event.
      outgoing.flushHeaders();
      response.pipe(outgoing);
      response.on("error", () => outgoing.destroy());
    });
    upstream.on("error", (error: NodeJS.ErrnoException) => {
      // Nothing of the body was sent yet, so the next upstream can get it.
      if (error.code === "ECONNREFUSED" && tries > 1) forward(incoming, outgoing, tries - 1);
      else outgoing.destroy();
    });
    outgoing.on("close", () => upstream.destroy());
    upstream.on("socket", (socket) => socket.once("connect", () => incoming.pipe(upstream)));
  }

  const server = createServer((incoming, outgoing) => forward(incoming, outgoing, upstreams.length));
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answered,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
