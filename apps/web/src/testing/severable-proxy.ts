import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A proxy between a browser and the instance, so that a test can interrupt the network. */
export interface SeverableProxy extends AsyncDisposable {
  readonly url: string;
  /** Cuts every connection and refuses new ones. */
  sever(): void;
  restore(): void;
}

export async function startSeverableProxy(targetUrl: string): Promise<SeverableProxy> {
  const { hostname, port } = new URL(targetUrl);
  const sockets = new Set<Socket>();
  let severed = false;
  const server = createServer((client) => {
    if (severed) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy listens nowhere");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    sever: () => {
      severed = true;
      cut();
    },
    restore: () => {
      severed = false;
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
