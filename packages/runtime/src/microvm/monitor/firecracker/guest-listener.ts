import { once } from "node:events";
import { chown } from "node:fs/promises";
import { createServer, type Socket } from "node:net";

/** Waits for a guest's agent at the socket on which Firecracker forwards a port of the guest's vsock. */
export interface GuestListener extends AsyncDisposable {
  /** The first connection. There is no second one: a step of the job could pose as the agent. */
  readonly connection: Promise<Socket>;
}

/** @param user The user that Firecracker runs as. `null`: the executor's own. */
export async function listenForGuest(path: string, user: number | null): Promise<GuestListener> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  let taken: Socket | undefined;
  const server = createServer((socket) => {
    // Errors before somebody reads the stream. A reader has its own listener.
    socket.on("error", () => {});
    if (taken) {
      socket.destroy();
      return;
    }
    taken = socket;
    server.close();
    resolve(socket);
  });
  server.listen(path);
  await once(server, "listening");
  if (user !== null) await chown(path, user, user);
  return {
    connection: promise,
    async [Symbol.asyncDispose]() {
      taken?.destroy();
      if (server.listening) server.close();
    },
  };
}
