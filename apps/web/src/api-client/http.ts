import { ApiError } from "@airlock/api";
import type { ErrorCode } from "@airlock/job";
import type { z } from "zod";
import { noteServerDate } from "./server-clock.ts";

/** A response of the instance that is not a success. */
export class ApiRequestError extends Error {
  override readonly name = "ApiRequestError";
  /** HTTP status code. */
  readonly status: number;
  /** Stable error code for programs; `unexpected-status` if the response is not one of the API. */
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** One line per problem of an invalid request, starting with the path of the field. */
  readonly issues: readonly string[];

  constructor(status: number, error: ApiError["error"]) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.hint = error.hint;
    this.issues = error.issues ?? [];
  }
}

export interface RequestOptions {
  readonly method?: "GET" | "PATCH" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export interface Abortable {
  readonly signal?: AbortSignal;
}

/**
 * Sends one request and parses the response.
 * @throws {ApiRequestError} for every status that is not a success.
 * @throws {TypeError} if the instance cannot be reached.
 */
export async function requestJson<T>(schema: z.ZodType<T>, path: string, options: RequestOptions = {}): Promise<T> {
  const response = await request(path, options);
  return schema.parse(await response.json());
}

/** Like `requestJson`, but ignores the body of the response. */
export async function requestNothing(path: string, options: RequestOptions = {}): Promise<void> {
  const response = await request(path, options);
  await response.body?.cancel();
}

/** Returns a successful response with its body unread. */
export async function request(
  path: string,
  options: RequestOptions & { readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Response> {
  const response = await fetch(path, {
    method: options.method ?? "GET",
    headers: {
      accept: "application/json",
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    body: options.body === undefined ? null : JSON.stringify(options.body),
    signal: options.signal ?? null,
    credentials: "same-origin",
  });
  noteServerDate(response.headers.get("date"), Date.now());
  if (!response.ok) throw new ApiRequestError(response.status, await readError(response));
  return response;
}

async function readError(response: Response): Promise<ApiError["error"]> {
  const text = await response.text();
  const parsed = ApiError.safeParse(parseJson(text));
  if (parsed.success) return parsed.data.error;
  // Proxies send responses in other formats.
  const status = `${response.status} ${response.statusText}`.trim();
  return { code: "unexpected-status", message: `The instance answered ${status}.` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
