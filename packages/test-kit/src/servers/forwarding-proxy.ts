import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface ForwardingProxyOptions {
  /** Ports on 127.0.0.1 by `HOST:PORT`. The proxy answers 502 for other addresses. */
  readonly routes?: Readonly<Record<string, number>>;
  /** `USER:PASSWORD` that the proxy requires. Default: it requires none. */
  readonly credentials?: string;
  /** Address to listen on. Default: 127.0.0.1. */
  readonly host?: string;
}

export interface ForwardingProxy extends AsyncDisposable {
  /** With the credentials that it requires. */
  readonly url: string;
  readonly port: number;
  /** One line per accepted request: `CONNECT HOST:PORT`, or the method and the whole address. */
  readonly requests: readonly string[];
  /** The number of requests that were refused for their credentials. */
  readonly refused: number;
  /** Adds a route. */
  route(address: string, port: number): void;
}

/**
 * Starts an HTTP proxy that resolves the host names of tests itself. So a request that reaches such a host came through
 * the proxy.
 */
export async function startForwardingProxy(options: ForwardingProxyOptions = {}): Promise<ForwardingProxy> {
  const { routes = {}, credentials, host = "127.0.0.1" } = options;
  const known = new Map(Object.entries(routes));
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const expected = credentials === undefined ? null : `Basic ${Buffer.from(credentials).toString("base64")}`;
  let refused = 0;

  const mayUse = ({ headers }: IncomingMessage) => {
    if (expected === null || headers["proxy-authorization"] === expected) return true;
    refused += 1;
    return false;
  };
  const forward = (incoming: IncomingMessage, response: ServerResponse) => {
    if (!mayUse(incoming)) {
      response.writeHead(407, { "proxy-authenticate": 'Basic realm="proxy"' }).end();
      return;
    }
    requests.push(`${incoming.method} ${incoming.url}`);
    const url = URL.parse(incoming.url ?? "");
    const port = url && known.get(`${url.hostname}:${url.port || 80}`);
    if (!url || port === undefined || port === null) {
      response.writeHead(502).end();
      return;
    }
    const { "proxy-authorization": _, "proxy-connection": __, ...headers } = incoming.headers;
    const { method } = incoming;
    const path = url.pathname + url.search;
    const outgoing = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  };

  const server = createServer(forward);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("connect", (incoming, client: Socket) => {
    client.on("error", () => {});
    if (!mayUse(incoming)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\n\r\n');
      return;
    }
    requests.push(`CONNECT ${incoming.url}`);
    const port = known.get(incoming.url ?? "");
    if (port === undefined) {
      client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const target = connect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.pipe(client);
      client.pipe(target);
    });
    target.on("error", () => client.destroy());
    target.on("close", () => client.destroy());
    client.on("close", () => target.destroy());
  });
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${credentials === undefined ? "" : `${credentials}@`}${host}:${port}`,
    port,
    requests,
    get refused() {
      return refused;
    },
    route: (address, target) => void known.set(address, target),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Starts a proxy that is stopped when the current test ends. */
export async function forwardingProxy(options: ForwardingProxyOptions = {}): Promise<ForwardingProxy> {
  const proxy = await startForwardingProxy(options);
  onTestFinished(async () => await proxy[Symbol.asyncDispose]());
  return proxy;
}
