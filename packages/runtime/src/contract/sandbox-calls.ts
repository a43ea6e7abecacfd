import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "./errors.ts";

type Phase = "running" | "stopped" | "disposed";

/**
 * Enforces the order of a sandbox's calls for implementations of the contract: which calls may overlap, and which come
 * too late. Holds no resources.
 */
export class SandboxCalls {
  #phase: Phase = "running";
  /** The name of the call that uses the workspace right now. */
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
   * Checks a call that may overlap others.
   * @throws {AirlockError} code `sandbox-misused`, or `runtime` when the sandbox is disposed.
   */
  require(call: string, phases: readonly ("running" | "stopped")[]): void {
    if (this.#phase === "disposed") throw runtimeFailed("the sandbox is disposed");
    if (!phases.includes(this.#phase)) throw misused(`${call} was called after the sandbox was stopped`);
  }

  /**
   * Begins a call that must not overlap other calls that use the workspace. It lasts until the result is disposed of.
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
