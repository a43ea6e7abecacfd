import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "./errors.ts";

type Phase = "running" | "stopped" | "disposed";

/**
 * The order of a sandbox's calls that the contract asks for, for implementations: which may overlap, and which come too
 * late. Holds no resources.
 */
export class SandboxCalls {
  #phase: Phase = "running";
  /** The call that uses the workspace right now. */
  #use: string | null = null;

  get isDisposed(): boolean {
    return this.#phase === "disposed";
  }

  stop(): void {
    if (this.#phase === "running") this.#phase = "stopped";
  }

  dispose(): void {
    this.#phase = "disposed";
  }

  /**
   * A call that may overlap others.
   * @throws {AirlockError} code `sandbox-misused`, or `runtime` when the sandbox is disposed.
   */
  require(call: string, phases: readonly ("running" | "stopped")[]): void {
    if (this.#phase === "disposed") throw runtimeFailed("the sandbox is disposed");
    if (!phases.includes(this.#phase)) throw misused(`${call} was called after the sandbox was stopped`);
  }

  /**
   * A call that nothing else that uses the workspace may overlap; it lasts until the result is disposed.
   * @throws as {@link require}.
   */
  begin(call: string, phases: readonly ("running" | "stopped")[]): Disposable {
    this.require(call, phases);
    if (this.#use !== null) throw misused(`${call} was called while ${this.#use} is under way`);
    this.#use = call;
    return {
      [Symbol.dispose]: () => {
        this.#use = null;
      },
    };
  }
}

function misused(what: string): AirlockError {
  return new AirlockError(what, { code: "sandbox-misused", reason: "runtime" });
}
