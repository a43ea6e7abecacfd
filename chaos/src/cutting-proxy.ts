import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface CuttingProxy extends AsyncDisposable {
  readonly url: string;
  /** Destroys every open connection and returns how many there were. */
  cut(): number;
}

/** A TCP load balancer on 127.0.0.1 that gives each new connection to the next of its targets that accepts it. */
export async function startCuttingProxy(ports: () => readonly number[]): Promise<CuttingProxy> {
  const open = new Set<Socket>();
  let turn = 0;

  const server = createServer({ allowHalfOpen: true }, (client) => {
    open.add(client);
    client.on("close", () => open.delete(client));
    client.on("error", () => client.destroy());
    const targets = ports();
    turn += 1;
    dial(client, targets, 0);
  });

  function dial(client: Socket, targets: readonly number[], tried: number): void {
    const port = targets[(turn + tried) % Math.max(1, targets.length)];
    if (port === undefined || tried >= targets.length) {
      client.destroy();
      return;
    }
    const upstream = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    upstream.once("error", () => {
      if (upstream.bytesWritten === 0 && !client.destroyed && !upstream.readyState.startsWith("open"))
        dial(client, targets, tried + 1);
      else client.destroy();
    });
    upstream.once("connect", () => {
      upstream.on("error", () => client.destroy());
      upstream.on("close", () => client.destroy());
      client.on("close", () => upstream.destroy());
      client.pipe(upstream);
      upstream.pipe(client);
    });
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    cut() {
      const count = open.size;
      for (const socket of open) socket.resetAndDestroy();
      return count;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
