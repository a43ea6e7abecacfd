import { AirlockError, type AirlockErrorOptions } from "@airlock/job";

/** A request to the instance that did not succeed. `status` null: there was no answer. */
export class InstanceError extends AirlockError {
  readonly status: number | null;
  /** The answer's body, cut short. */
  readonly body: string;

  constructor(
    message: string,
    options: AirlockErrorOptions & { readonly status: number | null; readonly body?: string },
  ) {
    super(message, options);
    this.status = options.status;
    this.body = options.body ?? "";
  }

  /** Whether the same request may succeed later: no answer, an overloaded or a broken instance. */
  get passing(): boolean {
    return this.status === null || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** Whether the instance does not take our credentials. */
  get unauthorized(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

/** Whether trying again makes sense. Anything but an answer of the instance is a defect, and trying again is no help. */
export function isPassing(error: unknown): boolean {
  return error instanceof InstanceError && error.passing;
}
