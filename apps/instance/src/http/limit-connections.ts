import type { Server } from "node:http";

/** Each executor holds two or three connections, and each open page of the web UI a few. */
const maxConnections = 20_000;

/**
 * Closes connections past the limit as they arrive. Otherwise a client that opens sockets without end would use up the
 * file descriptors that the database needs.
 */
export function limitConnections(server: Server, limit = maxConnections): void {
  server.maxConnections = limit;
}
