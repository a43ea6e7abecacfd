import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A load balancer as simple as they come: each request goes to the next upstream, whoever sends it. */
export interface RoundRobinProxy extends AsyncDisposable {
  readonly url: string;
  /** Requests that each upstream has answered, in the order of `upstreams`. */
  readonly answered: readonly number[];
}

/** @param upstreams Base URLs. One that takes no connection is passed over. */
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
      // Events are to come as they are sent, the headers even before the first.
      outgoing.flushHeaders();
      response.pipe(outgoing);
      response.on("error", () => outgoing.destroy());
    });
    upstream.on("error", (error: NodeJS.ErrnoException) => {
      // Nothing of the body is gone yet: the next may have it.
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
