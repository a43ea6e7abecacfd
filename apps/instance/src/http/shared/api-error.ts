import { type ApiError, escapeHiddenInLines } from "@airlock/api";
import { AirlockError, type ErrorCode, httpStatusOfCode, isNoSpace } from "@airlock/job";
import { PasswordError } from "../../accounts/passwords.ts";
import { isDatabaseAway } from "../../store/database-away.ts";
import { JobIssuesError } from "../../submission/check-secrets.ts";

/** The field of a job that an error code is about. */
const fieldByCode: Readonly<Partial<Record<ErrorCode, string>>> = {
  "unknown-namespace": "namespace",
  "unknown-queue": "queue",
  "unknown-repository": "repository",
  "unknown-revision": "revision",
  "invalid-repository-url": "url",
  "local-repository-refused": "url",
};

/** A request that doesn't match its schema. `issues` has one line per problem, each beginning with the field's path. */
export class InvalidRequestError extends AirlockError {
  readonly issues: readonly string[];

  constructor(issues: readonly string[]) {
    super(issues[0] ?? "the request is not valid", {
      code: "invalid-request",
      hint: "Correct the fields that `issues` names.",
    });
    this.issues = issues;
  }
}

export const noSpaceHint = "Ask the instance's administrator to free space on the disk. Then try again.";

export interface ApiErrorAnswer {
  readonly status: number;
  readonly body: ApiError;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One line per problem, each beginning with a field. `undefined`: the error is not about fields. */
function issuesOf(error: AirlockError): readonly string[] | undefined {
  if (error instanceof InvalidRequestError || error instanceof JobIssuesError || error instanceof PasswordError) {
    return error.issues;
  }
  const field = fieldByCode[error.code];
  return field === undefined ? undefined : [`${field}: ${error.message}`];
}

export function toApiError(error: unknown): ApiErrorAnswer {
  if (isNoSpace(error)) {
    // The log has the error itself, which may name paths and tables.
    const message = "no space left on a disk of the instance";
    return { status: httpStatusOfCode("no-space"), body: { error: { code: "no-space", message, hint: noSpaceHint } } };
  }
  if (error instanceof AirlockError) {
    const status = httpStatusOfCode(error.code);
    const issues = issuesOf(error);
    return {
      status,
      body: {
        error: {
          code: error.code,
          // The message may quote a name from the request.
          message: escapeHiddenInLines(error.message),
          ...(error.hint ? { hint: error.hint } : {}),
          ...(issues ? { issues: issues.map(escapeHiddenInLines) } : {}),
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
          message: "the request contains text that cannot be stored (NUL, or half a character)",
        },
      },
    };
  }
  if (isDatabaseAway(error)) {
    return {
      status: 503,
      headers: { "retry-after": String(databaseRetryAfter) },
      body: { error: { code: "database-unreachable", message: databaseAway, hint: "Try again." } },
    };
  }
  const status = httpStatusOf(error);
  if (status >= 400 && status < 500 && error instanceof Error) {
    return { status, body: { error: { code: codeOfStatus(status), message: error.message } } };
  }
  return { status: 500, body: { error: { code: "internal", message: "internal error; see the log of the instance" } } };
}

/** Seconds in `Retry-After` while the database is unreachable. A crashed one is usually back within a second. */
export const databaseRetryAfter = 1;
export const databaseAway = "the database of the instance does not respond";

/** Fastify's own errors (body too large, invalid JSON) have a status. */
export function httpStatusOf(error: unknown): number {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return 500;
  return typeof error.statusCode === "number" ? error.statusCode : 500;
}

/**
 * PostgreSQL's error class 22, data exceptions: NUL in a text, half a surrogate pair in JSON. The client sent bad data.
 */
export function isUnstorableText(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && /^22[0-9A-Z]{3}$/.test(error.code)
  );
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 413) return "body-too-large";
  if (status === 415) return "unsupported-media-type";
  if (status === 404) return "not-found";
  return "invalid-request";
}
