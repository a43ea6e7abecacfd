import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Long enough that the next job of a busy executor does not wait for it. */
const idleMs = 2000;

/**
 * Gives memory back to the system when nothing has run for a while: after the start, and after jobs. Left alone, a process
 * that hardly allocates anything keeps what its busiest moment took, for hours.
 */
export class IdleMemory {
  readonly #collect: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(collect: () => void = fullCollection()) {
    this.#collect = collect;
  }

  /** Nothing runs. */
  idle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#collect, idleMs).unref();
  }

  /** Something runs again. */
  busy(): void {
    clearTimeout(this.#timer);
  }
}

/** V8's own full collection, which it offers to those who ask for it by flag. */
function fullCollection(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? () => void collect({ type: "major", flavor: "last-resort" }) : () => {};
}
