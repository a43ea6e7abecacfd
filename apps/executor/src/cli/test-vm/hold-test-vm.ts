import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { onAbort } from "@airlock/async";
import { socketOf } from "../../janitor/test-vm-place.ts";
import type { OpenTestVm } from "./open-test-vm.ts";

/** First line of a client. */
export type HolderRequest = "attach" | "end";
const maximumRequestBytes = 16;

/**
 * Serves the terminals of a machine on a socket in its directory, until the time is over, a client ends the machine or
 * the signal aborts. The caller disposes of the machine then.
 */
export async function holdTestVm(
  vm: OpenTestVm,
  { keepMs, signal }: { readonly keepMs: number; readonly signal: AbortSignal },
): Promise<{ readonly ended: Promise<void> } & AsyncDisposable> {
  const over = new AbortController();
  const ending = AbortSignal.any([signal, over.signal]);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => over.abort(new Error("the machine's time is over")), keepMs);
  const clients = new Set<Socket>();
  const abort = onAbort(ending, resolve);
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client);
    client.on("error", () => {}).once("close", () => clients.delete(client));
    void readRequest(client).then(async (request) => {
      if (request === "attach") await vm.sessions.run(client, { ...vm, signal: ending });
      // The client's connection closes when the machine has ended.
      else if (request === "end") over.abort(new Error("the machine was ended"));
      else client.destroy();
    });
  });
  server.listen(socketOf(vm.dir));
  await once(server, "listening");
  await chmod(socketOf(vm.dir), 0o600);
  return {
    ended,
    [Symbol.asyncDispose]: async () => {
      clearTimeout(timer);
      abort[Symbol.dispose]();
      over.abort(new Error("the machine is ended"));
      server.close();
      // Disposed of before the directory: a client learns that the machine has ended from the end of its connection.
      for (const client of clients) client.end();
    },
  };
}

/** Reads the first line of a client. What follows stays in the stream. */
async function readRequest(client: Socket): Promise<string> {
  let line = "";
  while (line.length < maximumRequestBytes) {
    const bytes: Buffer | null = client.read(1);
    if (bytes === null) {
      if (client.readableEnded || client.destroyed) return "";
      await Promise.race([once(client, "readable"), once(client, "end"), once(client, "close")]).catch(() => {});
      continue;
    }
    if (bytes[0] === 10) return line;
    line += bytes.toString("latin1");
  }
  return "";
}
