import type { Duplex, Readable } from "node:stream";
import { AirlockError } from "@airlock/job";
import { type Dispatcher, Pool } from "undici";
import type { z } from "zod";
import { runtimeFailed } from "../contract/index.ts";
import { ErrorReply, VersionReply } from "./engine-replies.ts";

/** The engine answered with an error status. `message` is the engine's own text. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface EngineRequest {
  readonly method?: "GET" | "POST" | "DELETE";
  /** Path below the API version, e.g. `/containers/json`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  /** An object is sent as JSON, a stream or buffer as a tar archive. */
  readonly body?: object | Readable | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface EngineClientOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:2375`. */
  readonly host: string;
}

const minimumVersion = "1.41";
/** The newest API version that we tested. Newer engines are asked to speak this one. */
const newestVersion = "1.47";

/** A client of the Docker Engine API. Parses every reply and throws an {@link EngineError} for every error status. */
export class EngineClient {
  readonly host: string;
  readonly isLocal: boolean;
  readonly #pool: Pool;
  #version: Promise<VersionReply> | undefined;

  /** @throws {AirlockError} when `host` is neither `unix://` nor `tcp://`. */
  constructor({ host }: EngineClientOptions) {
    const match = /^(unix|tcp):\/\/(.+)$/.exec(host);
    if (!match?.[2]) {
      throw new AirlockError(`"${host}" is not the address of a Docker engine`, {
        code: "docker-host-invalid",
        hint: "Write it as unix:///var/run/docker.sock or tcp://127.0.0.1:2375.",
      });
    }
    this.host = host;
    this.isLocal = match[1] === "unix";
    const options = { headersTimeout: 300_000, bodyTimeout: 0, connect: { timeout: 10_000 } };
    this.#pool = this.isLocal
      ? new Pool("http://docker", { ...options, socketPath: match[2] })
      : new Pool(`http://${match[2].replace(/\/$/, "")}`, options);
  }

  /** Whether an engine answers. */
  async ping(signal: AbortSignal): Promise<boolean> {
    try {
      const { statusCode, body } = await this.#pool.request({ method: "GET", path: "/_ping", signal });
      await body.dump();
      return statusCode === 200;
    } catch {
      return false;
    }
  }

  /** The engine's version, read once. It decides which API version the client speaks. */
  version(): Promise<VersionReply> {
    this.#version ??= this.#readVersion();
    // Don't cache a failure: the engine may come up later.
    this.#version.catch(() => {
      this.#version = undefined;
    });
    return this.#version;
  }

  async json<T extends z.ZodType>(schema: T, request: EngineRequest): Promise<z.infer<T>> {
    const body = await this.stream(request);
    return parse(schema, await readText(body));
  }

  /** Sends a request and discards the reply's body. */
  async send(request: EngineRequest): Promise<void> {
    const body = await this.stream(request);
    await readText(body);
  }

  /** Returns the reply's body. The caller has to read it to its end or destroy it. */
  async stream(request: EngineRequest): Promise<Readable> {
    const { statusCode, body } = await this.#reach(async () =>
      this.#pool.request({ ...(await this.#prefixed(request)), ...encodeBody(request.body, request.headers) }),
    );
    if (statusCode >= 400) throw new EngineError(statusCode, errorText(await readText(body), statusCode));
    return body;
  }

  /** Takes over the connection of a request, which the engine calls hijacking. The caller has to destroy it. */
  async hijack(request: EngineRequest): Promise<Duplex> {
    const { socket } = await this.#reach(async () =>
      this.#pool.upgrade({ ...(await this.#prefixed(request)), protocol: "tcp" }),
    );
    return socket;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #readVersion(): Promise<VersionReply> {
    const reply = await this.#reach(async () => {
      const { statusCode, body } = await this.#pool.request({ method: "GET", path: "/version" });
      const text = await readText(body);
      if (statusCode !== 200) throw new EngineError(statusCode, errorText(text, statusCode));
      return parse(VersionReply, text);
    });
    if (compareVersions(reply.ApiVersion, minimumVersion) < 0) {
      throw runtimeFailed(
        `the Docker engine at ${this.host} supports API ${reply.ApiVersion}, but ${minimumVersion} is required`,
        undefined,
        "Upgrade the engine to Docker 20.10 or later.",
      );
    }
    return reply;
  }

  async #prefixed({ method = "GET", path, query, signal }: EngineRequest) {
    const { ApiVersion, MinAPIVersion = minimumVersion } = await this.version();
    const wanted = compareVersions(ApiVersion, newestVersion) > 0 ? newestVersion : ApiVersion;
    const version = compareVersions(MinAPIVersion, wanted) > 0 ? MinAPIVersion : wanted;
    return { method, path: `/v${version}${path}${encodeQuery(query)}`, ...(signal ? { signal } : {}) };
  }

  async #reach<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof EngineError || error instanceof AirlockError || isAbort(error)) throw error;
      throw runtimeFailed(
        `cannot reach the Docker engine at ${this.host}`,
        error,
        "Check that the engine is running and that this user may use its socket.",
      );
    }
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

function encodeBody(
  body: EngineRequest["body"],
  headers: EngineRequest["headers"] = {},
): Partial<Dispatcher.RequestOptions> {
  if (body === undefined) return { headers };
  const isBytes = Buffer.isBuffer(body) || "pipe" in body;
  const type = { "content-type": isBytes ? "application/x-tar" : "application/json" };
  return { body: isBytes ? body : JSON.stringify(body), headers: { ...headers, ...type } };
}

function encodeQuery(query: EngineRequest["query"] = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) pairs.append(name, String(each));
  }
  return pairs.size > 0 ? `?${pairs}` : "";
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function parse<T extends z.ZodType>(schema: T, text: string): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw runtimeFailed("the Docker engine sent a response that is not JSON", error);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw runtimeFailed("the Docker engine sent an unexpected response", parsed.error);
  return parsed.data;
}

function errorText(text: string, status: number): string {
  try {
    return ErrorReply.parse(JSON.parse(text)).message.trim();
  } catch {
    return text.trim().slice(0, 500) || `status ${status}`;
  }
}

/** Negative if `a` is older than `b`. Versions are `MAJOR.MINOR`. */
function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}
