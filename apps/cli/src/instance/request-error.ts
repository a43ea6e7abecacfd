import { AirlockError, type ErrorCode } from "@airlock/job";

/**
 * A response that is not a success. `status` is the HTTP status. `code` is the instance's error code, or
 * `unexpected-status`.
 */
export class RequestError extends AirlockError {
  override readonly name = "RequestError";
  readonly status: number;
  /** For `invalid-request`: one line per problem, starting with the path of the field. */
  readonly issues: readonly string[];

  constructor(
    message: string,
    options: { code: ErrorCode; status: number; hint?: string | undefined; issues?: readonly string[] | undefined },
  ) {
    super(message, { code: options.code, ...(options.hint === undefined ? {} : { hint: options.hint }) });
    this.status = options.status;
    this.issues = options.issues ?? [];
  }
}

/** The instance did not respond. */
export class UnreachableError extends AirlockError {
  override readonly name = "UnreachableError";
  /** The system's error code, such as `ECONNREFUSED`, if there is one. */
  readonly systemCode: string | undefined;

  constructor(message: string, options: { hint?: string; cause: unknown }) {
    super(message, { ...options, code: "unreachable" });
    const { code } = (options.cause ?? {}) as { readonly code?: unknown };
    this.systemCode = typeof code === "string" ? code : undefined;
  }
}
