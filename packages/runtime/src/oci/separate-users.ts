import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { systemEnvironment } from "@airlock/process";
import { type Abortable, runtimeFailed } from "../contract/index.ts";
import type { IdRange } from "../host/id-range.ts";
import type { IdRanges } from "../host/id-ranges.ts";
import type { SystemCalls } from "../host/system-calls.ts";
import type { UserLimits } from "../isolation/process-limits.ts";

export interface SeparateUsersOptions {
  readonly ranges: IdRanges;
  readonly calls: SystemCalls;
  /** What each sandbox gets at most, all its users together. */
  readonly limits: UserLimits;
}

/** A range of host ids and a user namespace that maps the ids 0, 1, 2, … to it. */
export interface MappedRange extends Disposable {
  readonly range: IdRange;
  /** Descriptor of the user namespace. */
  readonly namespace: number;
}

const spareMs = 60_000;

/** Gives each sandbox of a runtime users of its own. */
export class SeparateUsers {
  readonly calls: SystemCalls;
  readonly #options: SeparateUsersOptions;
  /** Made between two sandboxes, so that a job's first step does not wait for it. */
  #spare: Promise<MappedRange | null> | undefined;

  constructor(options: SeparateUsersOptions) {
    this.calls = options.calls;
    this.#options = options;
  }

  /** @throws {AirlockError} reason `runtime`. */
  async take({ signal }: Abortable): Promise<MappedRange> {
    const spare = this.#spare;
    this.#spare = undefined;
    return (await spare) ?? (await makeMappedRange(this.#options, signal));
  }

  /** Makes a range ready for the next sandbox. */
  prepare(): void {
    // The next sandbox makes its own after a failure, and reports what is wrong.
    this.#spare ??= makeMappedRange(this.#options, AbortSignal.timeout(spareMs)).catch(() => null);
  }

  async close(): Promise<void> {
    const spare = this.#spare;
    this.#spare = undefined;
    (await spare)?.[Symbol.dispose]();
  }
}

/**
 * Makes a user namespace in a process of the range's first user. The kernel also counts what happens in a namespace
 * for the user that made it, up to the limits which that process has. If that were root, all sandboxes would share one
 * count with root of the machine.
 */
async function makeMappedRange(
  { ranges, limits: { pendingSignals, messageQueueBytes } }: SeparateUsersOptions,
  signal: AbortSignal,
): Promise<MappedRange> {
  using undo = new DisposableStack();
  const { range } = undo.use(ranges.take());
  const limits = [`--sigpending=${pendingSignals}`, `--msgqueue=${messageQueueBytes}`];
  const child = spawn("prlimit", [...limits, "--", "unshare", "--user", "--", "cat"], {
    env: systemEnvironment,
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe"],
    uid: range.base,
    gid: range.base,
    signal,
    killSignal: "SIGKILL",
  });
  const exited = untilExit(child);
  try {
    const errors = text(child.stderr);
    // Writing to a process that has ended fails. Its exit tells more.
    child.stdin.on("error", () => {});
    // `cat` answers when everything before it is done.
    child.stdin.write("\n");
    const failed = exited.then(async () => {
      throw runtimeFailed(`no user namespace can be made: ${(await errors).trim()}`);
    });
    await Promise.race([once(child.stdout, "data"), failed]);
    signal.throwIfAborted();
    for (const map of ["uid_map", "gid_map"]) {
      writeFileSync(`/proc/${child.pid}/${map}`, `0 ${range.base} ${range.size}\n`);
    }
    const namespace = openSync(`/proc/${child.pid}/ns/user`, "r");
    undo.defer(() => closeSync(namespace));
    const owned = undo.move();
    return { range, namespace, [Symbol.dispose]: () => owned.dispose() };
  } finally {
    // The descriptor keeps the namespace.
    child.kill("SIGKILL");
    exited.catch(() => {});
  }
}

function untilExit(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => resolve());
  });
}
