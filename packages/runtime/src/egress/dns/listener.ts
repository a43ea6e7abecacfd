import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** Answers a query, or drops it with `undefined`. Never rejects. */
export type QueryHandler = (message: Buffer, transport: "udp" | "tcp") => Promise<Buffer | undefined>;

const maxInFlight = 64;
const maxConnections = 16;
const idleMs = 5000;

/** DNS over UDP and TCP on one address; one sandbox's load is bounded here, so that it can't starve others. */
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
    // A peer that is gone answers with ICMP errors: nobody's trouble.
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

/** One query at a time for each connection. */
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
    // Much more than one query is a flood.
    if (received.length > 4096) socket.destroy();
    else void step();
  });
}
