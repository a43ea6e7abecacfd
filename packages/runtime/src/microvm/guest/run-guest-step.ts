import { constants } from "node:os";
import { onAbort, pause } from "@airlock/async";
import { runtimeFailed } from "../../contract/errors.ts";
import type { StepOutput, StepStatus } from "../../contract/step.ts";
import { gracePeriodMs, untilPrinted } from "../../ending/late-output.ts";
import { limitNotes, type StruckLimits } from "../../isolation/limit-notes.ts";
import { GuestViolation } from "./frames.ts";
import { type GuestAgent, methods } from "./guest-agent.ts";
import type { CallOptions, GuestExit } from "./guest-call.ts";
import { GuestCallError } from "./guest-call-error.ts";
import type { PayloadReader } from "./payload-reader.ts";
import { encodeStep, type GuestStep, maxSpecBytes } from "./step-spec.ts";

/** How long the agent may be silent before it ends a step that was killed. */
const killedMs = 10_000;
/** How long it may take in all. Without this, a hostile guest that prints now and then would never lose its job. */
const killedTotalMs = 30_000;

export interface GuestStepOptions {
  readonly signal: AbortSignal;
  readonly output: StepOutput;
}

/**
 * Runs one step to its end, as `Sandbox.runStep` does. The script's processes are killed when they are silent after its
 * end. An abort sends SIGTERM, and SIGKILL after 5 s.
 * @throws `signal.reason` when aborted, {@link AirlockError} reason `runtime` when the guest is gone or breaks the
 * protocol, {@link GuestCallError} when the step can't start: code `not-executable` if the kernel can't run the program,
 * `too-large` for its arguments and environment, `out-of-memory` for its memory limit, others for faults of the runtime.
 */
export async function runGuestStep(
  agent: GuestAgent,
  step: GuestStep,
  { signal, output }: GuestStepOptions,
): Promise<StepStatus> {
  signal.throwIfAborted();
  const spec = encodeStep(step);
  if (spec.length > maxSpecBytes) throw runtimeFailed(`a step's specification of ${spec.length} bytes is too long`);
  // Aborting the call itself would lose what the step prints before it ends. So the step is signaled instead.
  const call = new AbortController();
  const over = new AbortController();
  const startedAt = performance.now();
  let exit: GuestExit | undefined;
  let counts: LimitCounts;
  let channel = 0;
  let printedAt = performance.now();
  let isPrinting = false;
  /** Time that the reader of the output has needed. */
  let busyMs = 0;
  /** Does what ends the step. A guest that answers it with an error gets the step's call ended instead. */
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!over.signal.aborted) call.abort(error);
    }
  };
  const killAll = async () => {
    if (over.signal.aborted) return;
    await signalStep(agent, channel, 9, call.signal);
    const [killedAt, busyBefore] = [performance.now(), busyMs];
    // The output that is left may take any time, but only as long as its reader is busy with it.
    while (await pause(killedMs, over.signal)) {
      if (isPrinting) continue;
      const silentMs = performance.now() - printedAt;
      const takenMs = performance.now() - killedAt - (busyMs - busyBefore);
      if (silentMs <= killedMs && takenMs <= killedTotalMs) continue;
      // Then the agent removes what the step wrote outside of the workspace. The job's time limit bounds that.
      if (!signal.aborted && (await agent.countProcesses(call.signal)) === 0) return;
      throw runtimeFailed("the guest agent did not end a step that was killed");
    }
  };
  const end = async () => {
    await untilPrinted({
      left: async () => ({ count: await agent.countProcesses(call.signal), areBusy: undefined }),
      idleMs: () => (isPrinting ? 0 : performance.now() - printedAt),
      signal: over.signal,
    });
    await killAll();
  };
  const stop = async () => {
    const reached = await signalStep(agent, channel, 15, call.signal);
    // The script has not started, so nothing needs time to end.
    if (reached === 0 && !over.signal.aborted) return call.abort(signal.reason);
    await pause(gracePeriodMs, over.signal);
    await killAll();
  };
  let ending: Promise<void> | undefined;
  using _ = onAbort(signal, () => {
    ending = attempt(stop);
  });
  try {
    const options: CallOptions = {
      signal: call.signal,
      stallMs: agent.stallMs,
      mayBeSilent: true,
      streams: 2,
      upload: once(spec),
      onStarted: (number) => {
        channel = number;
      },
      onExited: (claimed) => {
        exit = claimed;
        if (claimed.left > 0) ending ??= attempt(end);
      },
      onData: async (stream, bytes) => {
        isPrinting = true;
        const from = performance.now();
        await output(stream === 0 ? "stdout" : "stderr", bytes);
        printedAt = performance.now();
        busyMs += printedAt - from;
        isPrinting = false;
      },
    };
    counts = await agent.connection.call(Buffer.of(methods.run), options, parseCounts);
    if (!exit) throw new GuestViolation("the end of a step without its exit state");
  } catch (error) {
    // A step that the abort ends before its script starts can't start.
    throw signal.aborted && error instanceof GuestCallError ? signal.reason : error;
  } finally {
    over.abort();
    agent.connection.closeConnections();
    await ending;
  }
  signal.throwIfAborted();
  const status = statusOf(exit, counts);
  const notes = limitNotes(status, { ...counts, limits: limitsOf(step), elapsedMs: performance.now() - startedAt });
  return notes.length > 0 ? { ...status, notes } : status;
}

type LimitCounts = Pick<StruckLimits, "oomKills" | "refusedForks" | "throttledMs">;

/** What the guest claims to have counted in the step's cgroup. */
function parseCounts(result: PayloadReader): LimitCounts {
  return { oomKills: result.uint32(), refusedForks: result.uint32(), throttledMs: result.uint53() / 1000 };
}

function limitsOf({ cpuMicros, memoryBytes, pids }: GuestStep): StruckLimits["limits"] {
  return { cpus: cpuMicros / 100_000, memoryBytes, pids };
}

/** Signals the step. Returns how many processes it reached: none if the step has not started or has just ended. */
async function signalStep(agent: GuestAgent, channel: number, number: 9 | 15, signal: AbortSignal): Promise<number> {
  try {
    return await agent.signalStep(channel, number, signal);
  } catch (error) {
    if (error instanceof GuestCallError && error.code === "not-found") return 0;
    throw error;
  }
}

/**
 * Processes of the step can send any signal to the script, so a signal counts as exit code 128 + n, as in a shell. Only
 * the kernel's kills for lack of memory are told apart. The shell reports those of its children as 137.
 */
function statusOf({ kind, value, outOfMemory }: GuestExit, { oomKills }: LimitCounts): StepStatus {
  const exitCode = kind === "exited" ? value : 128 + value;
  const wasOutOfMemory = (outOfMemory || oomKills > 0) && exitCode === 128 + constants.signals.SIGKILL;
  return wasOutOfMemory ? { kind: "killed", signal: "SIGKILL", outOfMemory: true } : { kind: "exited", exitCode };
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}
