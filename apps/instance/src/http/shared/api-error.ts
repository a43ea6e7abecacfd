import type { ApiError } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { UnknownSecretsError } from "../../submission/require-known-secrets.ts";

/** Status of the REST API for each code that the instance throws on purpose. Others are our fault: 500. */
const statusByCode: Readonly<Record<string, number>> = {
  "invalid-request": 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  "wrong-state": 409,
  "queue-exists": 409,
  "repository-exists": 409,
  "repository-in-use": 409,
  "idempotency-conflict": 409,
  "unknown-queue": 422,
  "unknown-secret": 422,
  "unknown-repository": 422,
  "unknown-revision": 422,
  "invalid-repository-url": 422,
  "local-repository-refused": 422,
  "secret-key-mismatch": 503,
  "secret-key-missing": 503,
  "repository-too-large": 422,
  "repository-unavailable": 502,
  "git-missing": 500,
  "git-timeout": 504,
};

/** Field of the job that a code speaks about. */
const fieldByCode: Readonly<Record<string, string>> = {
  "unknown-queue": "queue",
  "unknown-repository": "repository",
  "unknown-revision": "revision",
  "invalid-repository-url": "url",
  "local-repository-refused": "url",
};

/** A request that breaks its schema; one line per problem, each beginning with the field's path. */
export class InvalidRequestError extends AirlockError {
  readonly issues: readonly string[];

  constructor(issues: readonly string[]) {
    super(issues[0] ?? "the request is not valid", { code: "invalid-request", hint: "Correct what is named." });
    this.issues = issues;
  }
}

export function toApiError(error: unknown): { readonly status: number; readonly body: ApiError } {
  if (error instanceof AirlockError) {
    const status = statusByCode[error.code] ?? 500;
    const field = fieldByCode[error.code];
    const hasIssues = error instanceof InvalidRequestError || error instanceof UnknownSecretsError;
    const issues = hasIssues ? [...error.issues] : field && [`${field}: ${error.message}`];
    return {
      status,
      body: {
        error: {
          code: error.code,
          message: error.message,
          ...(error.hint ? { hint: error.hint } : {}),
          ...(issues ? { issues } : {}),
        },
      },
    };
  }
  if (isUnstorableText(error)) {
    return {
      status: 400,
      body: {
        error: {
          code: "invalid-request",
          message: "the request holds text that cannot be stored (NUL, or half a character)",
        },
      },
    };
  }
  const status = httpStatusOf(error);
  if (status >= 400 && status < 500 && error instanceof Error) {
    return { status, body: { error: { code: codeOfStatus(status), message: error.message } } };
  }
  return { status: 500, body: { error: { code: "internal", message: "the instance failed; its log says how" } } };
}

/** Fastify's own errors (a body that is too large, or no JSON) carry a status. */
export function httpStatusOf(error: unknown): number {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return 500;
  return typeof error.statusCode === "number" ? error.statusCode : 500;
}

/** PostgreSQL's class 22, data exceptions: NUL in a text, half of a surrogate pair in JSON. The sender's fault, not ours. */
export function isUnstorableText(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && /^22[0-9A-Z]{3}$/.test(error.code)
  );
}

function codeOfStatus(status: number): string {
  if (status === 413) return "body-too-large";
  if (status === 415) return "unsupported-media-type";
  if (status === 404) return "not-found";
  return "invalid-request";
}
