import { AirlockError, type ErrorCode } from "@airlock/job";

/** The command line itself is wrong, or a file that it names cannot be read: exit code 2. */
export class UsageError extends AirlockError {
  override readonly name = "UsageError";

  constructor(
    message: string,
    hint?: string,
    { code = "usage", cause }: { readonly code?: ErrorCode; readonly cause?: unknown } = {},
  ) {
    super(message, { code, cause, ...(hint === undefined ? {} : { hint }) });
  }
}

/** A message of several lines that is printed as it is, such as the problems of a job file with their code frames. */
export class ReportError extends AirlockError {
  override readonly name = "ReportError";
  /** Whether the command itself found the problems, before any request. */
  readonly isUsage: boolean;

  constructor(message: string, { code, isUsage = false }: { readonly code: ErrorCode; readonly isUsage?: boolean }) {
    super(message, { code });
    this.isUsage = isUsage;
  }
}
