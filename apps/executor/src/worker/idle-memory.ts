import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Long enough that a busy executor never collects between two jobs. */
const idleMs = 2000;

/**
 * Returns memory to the system when nothing has run for a while: after the start, and after jobs. Otherwise a process
 * that hardly allocates keeps the memory of its busiest moment for hours.
 */
export class IdleMemory {
  readonly #collect: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(collect: () => void = fullCollection()) {
    this.#collect = collect;
  }

  /** Call this when no job runs any more. */
  idle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#collect, idleMs).unref();
  }

  /** Call this when a job starts. */
  busy(): void {
    clearTimeout(this.#timer);
  }
}

/** V8's full garbage collection, which needs the flag `--expose-gc`. */
function fullCollection(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? () => void collect({ type: "major", flavor: "last-resort" }) : () => {};
}
