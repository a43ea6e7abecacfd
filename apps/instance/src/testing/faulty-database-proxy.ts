import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * What the proxy does with new connections:
 * - `pass`: it forwards both directions.
 * - `reset`: it resets the connection at once.
 * - `close during authentication`: it closes the connection when the server asks for the password.
 * - `reset during authentication`: likewise with a reset.
 * - `starting up`: it answers as a PostgreSQL server that still recovers from a crash.
 * - `refuse during authentication`: it answers as a server that is shut down meanwhile, without a known SQLSTATE.
 * - `close at the first statement`: it forwards until the client's first statement.
 */
export const databaseFaults = [
  "reset",
  "close during authentication",
  "reset during authentication",
  "starting up",
  "refuse during authentication",
  "close at the first statement",
] as const;
type DatabaseFault = (typeof databaseFaults)[number];

export interface FaultyDatabaseProxy extends AsyncDisposable {
  /** URL of the database behind the proxy. */
  readonly url: string;
  /** Cuts all connections. New ones meet the fault. */
  turnTo(mode: DatabaseFault | "pass"): void;
}

/** A proxy in front of the PostgreSQL server of `databaseUrl` that imitates a server in trouble. */
export async function startFaultyDatabaseProxy(databaseUrl: string): Promise<FaultyDatabaseProxy> {
  const upstreamUrl = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let mode: DatabaseFault | "pass" = "pass";

  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    keep(client);
    const fault = mode;
    if (fault === "reset") return client.resetAndDestroy();
    if (fault === "starting up") return answerStartup(client, "57P03", "the database system is starting up");
    const upstream = connect(Number(upstreamUrl.port), upstreamUrl.hostname);
    keep(upstream);
    upstream.once("close", () => client.destroy());
    client.once("close", () => upstream.destroy());
    let asked = false;
    client.on("data", (data) => {
      // A client's statement is a simple query (Q) or begins with a parse message (P).
      const statement = data[0] === 0x51 || data[0] === 0x50;
      if (fault === "close at the first statement" && statement) client.end();
      else upstream.write(data);
    });
    upstream.on("data", (data) => {
      const first = !asked;
      asked = true;
      if (first && fault === "close during authentication") client.end();
      else if (first && fault === "reset during authentication") client.resetAndDestroy();
      else if (first && fault === "refuse during authentication")
        client.end(failure("FATAL", "58000", "no more of this"));
      else client.write(data);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    turnTo(next) {
      mode = next;
      cut();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      cut();
      await once(server, "close");
    },
  };
}

function answerStartup(client: Socket, code: string, text: string): void {
  client.once("data", () => client.end(failure("FATAL", code, text)));
}

/** PostgreSQL's ErrorResponse. */
function failure(severity: string, code: string, text: string): Buffer {
  const fields = [`S${severity}`, `C${code}`, `M${text}`];
  const body = Buffer.from(`${fields.map((field) => `${field}\0`).join("")}\0`);
  const head = Buffer.alloc(5);
  head.write("E", 0, "latin1");
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
