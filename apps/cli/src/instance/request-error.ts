import { AirlockError, type ErrorCode } from "@airlock/job";

/** The instance's answer is not a success. `status` is HTTP's; `code` the instance's, or `unexpected-status`. */
export class RequestError extends AirlockError {
  override readonly name = "RequestError";
  readonly status: number;
  /** For `invalid-request`: one line per problem, each beginning with the field's path. */
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

/** No answer at all. */
export class UnreachableError extends AirlockError {
  override readonly name = "UnreachableError";
  /** `ECONNREFUSED`, … where the system gave a reason. */
  readonly systemCode: string | undefined;

  constructor(message: string, options: { hint?: string; cause: unknown }) {
    super(message, { ...options, code: "unreachable" });
    const { code } = (options.cause ?? {}) as { readonly code?: unknown };
    this.systemCode = typeof code === "string" ? code : undefined;
  }
}
