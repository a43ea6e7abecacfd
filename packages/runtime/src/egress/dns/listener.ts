import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** Resolves to the answer, or to `undefined` to drop the query. Never rejects. */
export type QueryHandler = (message: Buffer, transport: "udp" | "tcp") => Promise<Buffer | undefined>;

const maxInFlight = 64;
const maxConnections = 16;
const idleMs = 5000;

/** Serves DNS over UDP and TCP on one address. Limits one sandbox's load, so that it can't starve other sandboxes. */
export async function listen(address: string, port: number, handle: QueryHandler): Promise<AsyncDisposable> {
  await using undo = new AsyncDisposableStack();
  let inFlight = 0;
  const bounded: QueryHandler = async (message, transport) => {
    if (inFlight >= maxInFlight) return undefined;
    inFlight += 1;
    try {
      return await handle(message, transport);
    } finally {
      inFlight -= 1;
    }
  };

  const udp = createSocket({ type: "udp4", reuseAddr: false });
  let isOpen = true;
  undo.defer(() => {
    isOpen = false;
    udp.close();
  });
  udp.on("message", async (message, peer) => {
    const answer = await bounded(message, "udp");
    // Ignore errors, such as ICMP answers from a peer that has disappeared.
    if (answer && isOpen) udp.send(answer, peer.port, peer.address, () => {});
  });
  udp.bind({ address, port, exclusive: true });
  await once(udp, "listening");
  udp.on("error", () => {});

  const connections = new Set<Socket>();
  const tcp = createServer((socket) => {
    connections.add(socket);
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => connections.delete(socket));
    serve(socket, bounded);
  });
  tcp.maxConnections = maxConnections;
  undo.defer(() => {
    for (const socket of connections) socket.destroy();
    tcp.close();
  });
  tcp.listen({ host: address, port, exclusive: true });
  await once(tcp, "listening");
  tcp.on("error", () => {});
  return undo.move();
}

/** Handles one query at a time for each connection. */
function serve(socket: Socket, handle: QueryHandler): void {
  let received = Buffer.alloc(0);
  let isBusy = false;
  const step = async (): Promise<void> => {
    if (isBusy || received.length < 2) return;
    const length = received.readUInt16BE(0);
    if (received.length < length + 2) return;
    isBusy = true;
    socket.pause();
    const message = received.subarray(2, length + 2);
    received = received.subarray(length + 2);
    const answer = await handle(message, "tcp");
    isBusy = false;
    if (socket.destroyed) return;
    if (answer === undefined) {
      socket.destroy();
      return;
    }
    const head = Buffer.alloc(2);
    head.writeUInt16BE(answer.length);
    socket.write(Buffer.concat([head, answer]));
    socket.resume();
    await step();
  };
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    // Much more data than one query is a flood.
    if (received.length > 4096) socket.destroy();
    else void step();
  });
}
