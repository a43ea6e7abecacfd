import type { Server } from "node:http";

/** Each executor holds two or three connections, each open page of the web UI a few. */
const maxConnections = 20_000;

/**
 * Closes connections past the limit as they come. Without it whoever opens sockets without end uses up the descriptors
 * that the database needs.
 */
export function limitConnections(server: Server, limit = maxConnections): void {
  server.maxConnections = limit;
}
