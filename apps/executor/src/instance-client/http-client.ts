import type { Readable } from "node:stream";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { type Proxies, RoutedAgents } from "@airlock/proxy";
import { InstanceError } from "./instance-error.ts";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  /** Relative to the instance's URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as JSON. A Buffer must already contain JSON. */
  readonly body?: unknown;
  /** Streamed in place of `body`. */
  readonly bytes?: Readable;
  /** Time limit until the answer begins. */
  readonly timeoutMs: number;
  /** Ends the wait for an answer. Once an answer has begun, it is read to its end, because it may contain a job. */
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  /** Names are in lower case. When a header occurs several times, the first value counts. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends JSON over kept-alive connections. Follows no redirects: credentials go only to the configured instance. */
export class HttpClient {
  readonly #base: URL;
  readonly #agents: RoutedAgents;

  constructor(base: URL, proxies: Proxies) {
    this.#base = base;
    const options = { keepAliveTimeout: 60_000, connect: { timeout: 10_000 }, bodyTimeout: 30_000 };
    this.#agents = new RoutedAgents(proxies, options);
  }

  /** @throws {InstanceError} when there is no answer, or its status is not 200…299. */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    const { statusCode, headers, body } = await this.#send(request);
    const text = await body.text().catch((cause: unknown) => {
      throw this.#unreachable(cause);
    });
    if (statusCode < 200 || statusCode > 299) throw this.#refused(request, statusCode, text);
    const single = Object.entries(headers).map(([name, value]) => [name, [value].flat()[0] ?? ""]);
    return { status: statusCode, text, headers: Object.fromEntries(single) };
  }

  /** Returns the answer's body as a stream. */
  async stream(request: HttpRequest): Promise<AsyncIterable<Buffer> & { destroy(): unknown }> {
    const { statusCode, body } = await this.#send(request, { bodyTimeout: 0 });
    if (statusCode === 200) {
      // An unhandled "error" event before the reader attaches would end the process.
      body.on("error", () => {});
      if (request.signal) {
        const listener = onAbort(request.signal, () => body.destroy());
        body.once("close", () => listener[Symbol.dispose]());
      }
      return body;
    }
    throw this.#refused(request, statusCode, await body.text().catch(() => ""));
  }

  /**
   * Returns whatever the instance answers, and its body as a stream. The signal ends that, too.
   * @throws {InstanceError} when there is no answer.
   */
  async exchange(request: HttpRequest & { readonly signal: AbortSignal }) {
    const { statusCode, headers, body } = await this.#send(request);
    // An unhandled "error" event before the reader attaches would end the process.
    body.on("error", () => {});
    const listener = onAbort(request.signal, () => body.destroy());
    body.once("close", () => listener[Symbol.dispose]());
    return { status: statusCode, headers, body };
  }

  async close(): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }

  async #send(request: HttpRequest, options: { bodyTimeout?: number } = {}) {
    const waiting = new AbortController();
    using _listener = request.signal && onAbort(request.signal, () => waiting.abort(request.signal?.reason));
    try {
      return await this.#agents.for(this.#base).request({
        origin: this.#base.origin,
        path: new URL(request.path, this.#base).pathname + new URL(request.path, this.#base).search,
        method: request.method,
        headers:
          request.body === undefined ? request.headers : { ...request.headers, "content-type": "application/json" },
        ...(request.bytes ? { body: request.bytes } : {}),
        ...(request.body === undefined
          ? {}
          : { body: Buffer.isBuffer(request.body) ? request.body : JSON.stringify(request.body) }),
        headersTimeout: request.timeoutMs,
        signal: waiting.signal,
        ...options,
      });
    } catch (error) {
      request.signal?.throwIfAborted();
      throw this.#unreachable(error);
    }
  }

  #unreachable(cause: unknown): InstanceError {
    const way = this.#agents.wayTo(this.#base);
    const proxyHint =
      way === "" ? "" : " Check that the proxy lets this machine reach it, or add its host to NO_PROXY.";
    return new InstanceError(`no answer from the instance at ${this.#base.origin}${way}: ${errorMessage(cause)}`, {
      code: "instance-unreachable",
      status: null,
      hint: `Check EXECUTOR_FRONTEND_URL, that the instance runs, and that this machine reaches it.${proxyHint}`,
      cause,
    });
  }

  #refused(request: HttpRequest, status: number, text: string): InstanceError {
    const body = text.slice(0, 10_000);
    if (status === 403 && body.trim() !== "") {
      return new InstanceError(`the instance at ${this.#base.origin} refused: ${body.slice(0, 300).trim()}`, {
        code: "instance-unauthorized",
        status,
        body,
        hint: "EXECUTOR_FRONTEND_PASSWORD may be a token of another queue. EXECUTOR_QUEUE_NAMES names the queues.",
      });
    }
    if (status === 401 || status === 403) {
      return new InstanceError(`the instance at ${this.#base.origin} answered ${status}: it rejected the credentials`, {
        code: "instance-unauthorized",
        status,
        body,
        hint: "Set EXECUTOR_FRONTEND_PASSWORD to the instance's shared secret, or to an executor token of the queue.",
      });
    }
    // The proxy itself may have answered.
    const way = status >= 502 && status <= 504 ? this.#agents.wayTo(this.#base) : "";
    return new InstanceError(
      `${request.method} ${request.path}${way} was answered ${status}: ${body.slice(0, 300).trim() || "no text"}`,
      {
        code: "instance-refused",
        status,
        body,
      },
    );
  }
}
