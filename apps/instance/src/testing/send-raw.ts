import { connect } from "node:net";

export interface RawRequest {
  readonly method: string;
  readonly path: string;
  /** Text with one byte per character (Latin-1), sent unchanged. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Default 10000. */
  readonly timeoutMs?: number;
}

export interface RawAnswer {
  /** 0: the connection ended without a response. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  /** Whether the application answered, and not the HTTP parser in front of it. */
  readonly parsed: boolean;
}

/**
 * Sends a request byte for byte, even an invalid one, and reads until the connection ends.
 * @throws {Error} when the connection doesn't end in time.
 */
export async function sendRaw(url: string, request: RawRequest): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const { body = Buffer.alloc(0) } = request;
  const lengthHeader = request.body ? { "content-length": String(body.length) } : {};
  const headers = { host: `${hostname}:${port}`, connection: "close", ...lengthHeader, ...request.headers };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const answer = await exchange(
    { host: hostname, port: Number(port) },
    Buffer.concat([Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${head.join("")}\r\n`, "latin1"), body]),
    request.timeoutMs ?? 10_000,
    `${request.method} ${request.path}`,
  );
  return parseAnswer(answer);
}

function exchange(
  address: { readonly host: string; readonly port: number },
  bytes: Buffer,
  timeoutMs: number,
  what: string,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = connect(address);
  const parts: Buffer[] = [];
  const timer = setTimeout(() => {
    socket.destroy();
    reject(new Error(`${what.slice(0, 200)}: no end in ${timeoutMs} ms`));
  }, timeoutMs);
  socket.on("data", (data: Buffer) => parts.push(data));
  // The server may close before it has read everything. What it sent until then counts.
  socket.on("error", () => {});
  socket.once("close", () => {
    clearTimeout(timer);
    resolve(Buffer.concat(parts));
  });
  socket.write(bytes);
  return promise;
}

function parseAnswer(answer: Buffer): RawAnswer {
  const end = answer.indexOf("\r\n\r\n");
  const [first = "", ...lines] = answer.subarray(0, Math.max(0, end)).toString("latin1").split("\r\n");
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const body = end === -1 ? Buffer.alloc(0) : answer.subarray(end + 4);
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0),
    headers,
    text: headers.get("transfer-encoding") === "chunked" ? joinChunks(body).toString("utf8") : body.toString("utf8"),
    // Node.js's own error responses have no body.
    parsed: headers.has("content-type"),
  };
}

function joinChunks(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  let rest = body;
  for (;;) {
    const line = rest.indexOf("\r\n");
    const length = Number.parseInt(rest.subarray(0, Math.max(0, line)).toString("latin1"), 16);
    if (line === -1 || !(length > 0)) return Buffer.concat(parts);
    parts.push(rest.subarray(line + 2, line + 2 + length));
    rest = rest.subarray(line + 4 + length);
  }
}
