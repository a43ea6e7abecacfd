import { createServer, type Server, type Socket } from "node:net";
import type { SandboxService } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";
import type { NetworkCalls } from "../host/network-calls.ts";

/**
 * Listens for a sandbox's services, in the sandbox's network namespace. The executor holds the sockets, so a step can
 * neither close nor take them, and they end with the executor.
 */
export class ServiceListeners implements AsyncDisposable {
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();

  /**
   * @param network Descriptor of the network namespace. It may be closed afterwards.
   * @throws {AirlockError} reason `runtime` when a port is taken.
   */
  static async open(
    calls: NetworkCalls,
    network: number,
    services: readonly SandboxService[],
  ): Promise<ServiceListeners> {
    await using undo = new AsyncDisposableStack();
    const listeners = undo.use(new ServiceListeners());
    for (const service of services) await listeners.#listen(calls, network, service);
    undo.move();
    return listeners;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #listen(calls: NetworkCalls, network: number, { port, serve }: SandboxService): Promise<void> {
    let descriptor: number;
    try {
      descriptor = calls.listen(network, port);
    } catch (error) {
      throw runtimeFailed(`cannot listen on port ${port} of the sandbox`, error);
    }
    const server = createServer({ allowHalfOpen: true }, (connection) => {
      this.#connections.add(connection);
      connection.once("close", () => this.#connections.delete(connection));
      // A connection that breaks off is the step's business, also before anyone reads it.
      connection.on("error", () => {});
      serve(connection);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ fd: descriptor }, resolve);
      });
    } catch (error) {
      throw runtimeFailed(`cannot listen on port ${port} of the sandbox`, error);
    }
    this.#servers.push(server);
  }
}
