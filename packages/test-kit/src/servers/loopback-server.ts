import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

/** An HTTP server on a free port of 127.0.0.1. It can stop for a while and answer again at the same address. */
export class LoopbackServer implements AsyncDisposable {
  readonly #server;
  #port = 0;

  private constructor(serve: RequestListener) {
    this.#server = createServer(serve);
  }

  static async start(serve: RequestListener): Promise<LoopbackServer> {
    const server = new LoopbackServer(serve);
    await server.resume();
    return server;
  }

  /** Without a trailing slash. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Cuts all connections and refuses new ones. */
  async suspend(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async resume(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.suspend();
  }
}
