import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import { type Duplex, type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { onAbort } from "@airlock/async";
import type { UploadRefusal } from "./check-upload-request.ts";
import { type CheckedUpload, checkUploadRequest, maxUploadBytes, refusal, tooLarge } from "./check-upload-request.ts";

/** Sends one checked request to the instance with the job's token, whatever the answer's status is. */
export type SendUpload = (
  upload: CheckedUpload & { readonly body: Readable | null },
  signal: AbortSignal,
) => Promise<UploadAnswer>;

export interface UploadAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: Readable;
}

export interface UploadProxyOptions {
  readonly port: number;
  readonly send: SendUpload;
  /** Time limits, for tests. */
  readonly headerMs?: number;
  readonly stallMs?: number;
  readonly requestMs?: number;
}

const maxConnections = 16;
const maxHeaderBytes = 16 * 1024;
/** The port on which steps find the instance's upload routes. */
export const uploadPort = 7480;

/**
 * Answers the connections that a job's steps open to its upload port. It passes on nothing but uploads, and adds the
 * job's token, which no step sees. Each connection carries one request: nothing can hide behind another request.
 */
export class UploadProxy implements Disposable {
  readonly port: number;
  readonly #options: UploadProxyOptions;
  readonly #server: Server;
  readonly #connections = new Map<Duplex, NodeJS.Timeout>();
  readonly #ending = new AbortController();

  constructor(options: UploadProxyOptions) {
    this.port = options.port;
    this.#options = options;
    this.#server = createServer({ maxHeaderSize: maxHeaderBytes, requireHostHeader: false });
    this.#server.maxRequestsPerSocket = 1;
    this.#server.on("request", (request, response) => void this.#answer(request, response));
    this.#server.on("checkContinue", (request, response) => void this.#answer(request, response));
    this.#server.on("clientError", (error: NodeJS.ErrnoException, connection) => {
      const isLarge = error.code === "HPE_HEADER_OVERFLOW";
      const hint = "Send one plain HTTP/1.1 request per connection.";
      refuse(
        connection,
        isLarge
          ? refusal(431, "headers-too-large", "the headers are longer than 16 KiB", "Send fewer headers.")
          : refusal(400, "request-invalid", "the request is not valid HTTP", hint),
      );
    });
  }

  /** Serves a connection of a step. */
  readonly serve = (connection: Duplex): void => {
    if (this.#ending.signal.aborted) {
      connection.destroy();
      return;
    }
    connection.on("error", () => {});
    if (this.#connections.size >= maxConnections) {
      const hint = "Close connections, or send parts one after the other.";
      refuse(connection, refusal(503, "too-many-connections", `at most ${maxConnections} connections at once`, hint));
      return;
    }
    // Node checks its own time limits only for servers that listen.
    const timer = setTimeout(() => connection.destroy(), this.#options.headerMs ?? 10_000);
    this.#connections.set(connection, timer);
    connection.once("close", () => {
      clearTimeout(this.#connections.get(connection));
      this.#connections.delete(connection);
    });
    this.#server.emit("connection", connection);
  };

  [Symbol.dispose](): void {
    this.#ending.abort(new Error("the job has ended"));
    for (const connection of this.#connections.keys()) connection.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { stallMs = 60_000, requestMs = 30 * 60_000 } = this.#options;
    clearTimeout(this.#connections.get(request.socket));
    response.on("error", () => {});
    const checked = checkUploadRequest(request, this.port);
    if ("code" in checked) {
      answerRefusal(response, checked);
      return;
    }
    const stop = new AbortController();
    const deadline = setTimeout(() => stop.abort(new Error("the upload took too long")), requestMs);
    const stalled = setTimeout(() => stop.abort(new Error("the step sent nothing for too long")), stallMs);
    response.once("close", () => stop.abort(new Error("the step closed the connection")));
    const signal = AbortSignal.any([stop.signal, this.#ending.signal]);
    let refused: UploadRefusal | null = null;
    let bytes = 0;
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        stalled.refresh();
        bytes += chunk.length;
        if (bytes > maxUploadBytes) refused = tooLarge;
        done(refused ? new Error(refused.message) : null, chunk);
      },
      flush(done) {
        clearTimeout(stalled);
        done();
      },
    });
    // An "error" event without a listener would end the process.
    counted.on("error", () => {});
    using _abort = onAbort(signal, () => counted.destroy(signal.reason));
    try {
      if (/^100-continue$/i.test(request.headers.expect ?? "")) response.writeContinue();
      const hasBody = checked.method === "POST";
      if (!hasBody) clearTimeout(stalled);
      const answer = await this.#options.send({ ...checked, body: hasBody ? request.pipe(counted) : null }, signal);
      clearTimeout(stalled);
      const isRedirect = answer.status >= 300 && answer.status < 400;
      response.writeHead(isRedirect ? 502 : answer.status, {
        connection: "close",
        ...(answer.contentType === undefined ? {} : { "content-type": answer.contentType }),
      });
      await pipeline(answer.body, response, { signal });
    } catch {
      // The cause may name the instance's address or a proxy, which are not the step's business.
      answerRefusal(response, refused ?? (stop.signal.aborted ? tooSlow : unreachable));
    } finally {
      clearTimeout(deadline);
      clearTimeout(stalled);
    }
  }
}

const tooSlow = refusal(408, "upload-too-slow", "the upload took too long", "Send smaller parts.");
const unreachable = refusal(502, "instance-unreachable", "the instance did not answer", "Try again later.");

function answerRefusal(response: ServerResponse, refused: UploadRefusal): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.writeHead(refused.status, { "content-type": "application/json", connection: "close" });
  // What is left of the body is not read.
  response.end(bodyOf(refused), () => response.req.socket.destroySoon());
}

function refuse(connection: Duplex, refused: UploadRefusal): void {
  if (!connection.writable) {
    connection.destroy();
    return;
  }
  const body = bodyOf(refused);
  const head = [
    `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status]}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  connection.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => connection.destroy());
}

function bodyOf({ code, message, hint }: UploadRefusal): string {
  return `${JSON.stringify({ error: message, code, hint })}\n`;
}
