import { AirlockError, type AirlockErrorOptions } from "@airlock/job";

/** A request to the instance failed. `status` is null when there was no answer. */
export class InstanceError extends AirlockError {
  readonly status: number | null;
  /** The answer's body, truncated. */
  readonly body: string;

  constructor(
    message: string,
    options: AirlockErrorOptions & { readonly status: number | null; readonly body?: string },
  ) {
    super(message, options);
    this.status = options.status;
    this.body = options.body ?? "";
  }

  /** Whether the same request may succeed later, since there was no answer or the instance is overloaded or broken. */
  get passing(): boolean {
    return this.status === null || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** Whether the instance rejects the executor's credentials. */
  get unauthorized(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

/** Whether a retry makes sense. An error that is not an `InstanceError` is a defect, which a retry does not fix. */
export function isPassing(error: unknown): boolean {
  return error instanceof InstanceError && error.passing;
}
