import { AirlockError } from "@airlock/job";

/** The command line itself is wrong: exit code 2. */
export class UsageError extends AirlockError {
  override readonly name = "UsageError";

  constructor(message: string, hint?: string) {
    super(message, { code: "usage", ...(hint === undefined ? {} : { hint }) });
  }
}

/** A message of several lines that is printed as it is, such as the problems of a job file with their code frames. */
export class ReportError extends AirlockError {
  override readonly name = "ReportError";
}
