import { ApiError, describeIssues } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { z } from "zod";
import type { Connection } from "./connection.ts";
import { RequestError, UnreachableError } from "./request-error.ts";
import { unreachableReason } from "./unreachable-reason.ts";

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Client for the REST API of one instance. */
export class InstanceClient {
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /**
   * Requests JSON and validates it.
   * @throws {RequestError} for every response that is not a success.
   * @throws {UnreachableError} if there is no response.
   */
  async json<T>(schema: z.ZodType<T>, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.request(path, options);
    const text = await readText(response, this.connection, options.signal);
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new AirlockError(`${this.connection.url.origin} sent an unexpected response to ${path}`, {
      code: "unexpected-answer",
      hint: `Is it an Airlock instance, of the same version as this command? (${describeIssues(parsed.error)[0]})`,
      cause: parsed.error,
    });
  }

  /** Returns a successful response with its body unread. `path` is relative to `/api/v1/`. */
  async request(path: string, options: RequestOptions = {}): Promise<Response> {
    const { connection } = this;
    let response: Response;
    try {
      response = await fetch(new URL(`api/v1/${path}`, connection.url), {
        method: options.method ?? "GET",
        headers: {
          accept: "application/json",
          ...(connection.token === "" ? {} : { authorization: `Bearer ${connection.token}` }),
          ...(options.body === undefined ? {} : { "content-type": "application/json" }),
          ...options.headers,
        },
        body: options.body === undefined ? null : JSON.stringify(options.body),
        signal: options.signal ?? null,
        // Following a redirect could turn a POST into a GET, or send the token to another server.
        redirect: "manual",
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw unreachable(connection, error);
    }
    if (response.ok) return response;
    throw await refused(response, connection, options.signal);
  }
}

function unreachable(connection: Connection, error: unknown): UnreachableError {
  // fetch only says "fetch failed"; its cause has the reason.
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  const { text, hint } = unreachableReason(cause);
  return new UnreachableError(`cannot reach the instance at ${connection.url.origin}: ${text}`, {
    hint: hint ?? unreachableHint(connection),
    cause,
  });
}

function unreachableHint({ source, instance }: Connection): string {
  if (source === "AIRLOCK_TOKEN") return "Check AIRLOCK_URL, and that the instance is running.";
  if (instance !== undefined) return `Check that the instance is running. The address was read from ${source}.`;
  return `Start it with \`airlock dev\`. The address was read from ${source}.`;
}

async function refused(response: Response, connection: Connection, signal?: AbortSignal): Promise<RequestError> {
  const { status } = response;
  const parsed = ApiError.safeParse(parseJson(await readText(response, connection, signal)));
  const answered = parsed.success ? parsed.data.error : undefined;
  if (status === 401) {
    return new RequestError(answered?.message ?? `${connection.url.origin} rejected the token`, {
      code: answered?.code ?? "unauthorized",
      status,
      hint:
        connection.instance === undefined
          ? `The token was read from ${connection.source}. The right one is in the file \`token\` in the instance's data directory.`
          : `The token may be revoked or expired. Create one on the account page and run \`airlock login ${connection.url.href}\`.`,
    });
  }
  if (answered) return new RequestError(answered.message, { ...answered, status });
  if (status >= 300 && status < 400) {
    return new RequestError(
      `${connection.url.origin} redirects to ${response.headers.get("location") ?? "another address"}`,
      {
        code: "redirected",
        status,
        hint: "Set AIRLOCK_URL to that address.",
      },
    );
  }
  return new RequestError(`${connection.url.origin} answered ${status} ${response.statusText}`.trimEnd(), {
    code: "unexpected-status",
    status,
    hint: "Is AIRLOCK_URL the address of an Airlock instance?",
  });
}

async function readText(response: Response, connection: Connection, signal?: AbortSignal): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(connection, error);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
