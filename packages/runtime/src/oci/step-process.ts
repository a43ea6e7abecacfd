import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { Duplex, Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { systemPath } from "@airlock/process";
import type { Abortable, StepOutput, StepStatus } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";
import { gracePeriodMs, type LeftProcesses, lookMs, untilPrinted } from "../ending/late-output.ts";
import { type Cgroup, killProcess } from "../host/cgroups/cgroup.ts";
import { errorCode } from "../host/error-code.ts";
import { readProcessStatus } from "../host/process-status.ts";
import { type LaunchPlan, launchCommand } from "./launcher.ts";
import { endMarkedLauncher, markLauncher } from "./launcher-mark.ts";
import type { OutputPipePool, OutputPipes } from "./output-pipes.ts";
import { StepChannel } from "./step-channel.ts";
import { StepOutputReader } from "./step-output.ts";
import { findStepProcesses } from "./step-processes.ts";

export interface StepProcessPlan {
  readonly launch: Omit<LaunchPlan, "outputPaths">;
  /** The launcher's current directory. Paths in overlay options are relative to it. */
  readonly cwd: string;
  /** Cgroup of all processes of the step; `undefined` without cgroups. */
  readonly cgroup: Cgroup | undefined;
  /** The step's directory, private to the executor. */
  readonly directory: string;
  readonly pidFile: string;
  /** File to which the OCI runtime writes its own errors, as JSON lines. */
  readonly logFile: string;
  readonly pipes: OutputPipePool;
  /** Whether the pid file names gVisor's kernel. */
  readonly isGvisor: boolean;
  /** Signals all processes of the step. `undefined` if the executor can signal them through the host's kernel. */
  readonly signal: ((signal: "TERM" | "KILL", launcher: number) => Promise<void>) | undefined;
}

/** If the first process does not answer a count in this time, other processes are assumed to be left. */
const answerMs = 1000;

/** How long a launcher whose step did not begin may take to end by itself. It takes milliseconds on an idle machine. */
const closingMs = 5000;

/** A step that has not begun: its launcher with mounts and cgroups, and the pipes for the output. */
export class WaitingLauncher implements AsyncDisposable {
  readonly #plan: StepProcessPlan;
  readonly #child: ChildProcess;
  readonly #exited: Promise<Ended>;
  /** Resolves when the launcher reports that the OCI runtime succeeded. Then no process of the step is left. */
  readonly #succeeded: Promise<Ended>;
  #hasSucceeded = false;
  readonly #channel: StepChannel;
  readonly #pipes: OutputPipes;
  readonly #giveBack: () => void;
  #disposing: Promise<void> | undefined;

  private constructor(
    plan: StepProcessPlan,
    child: ChildProcess,
    { pipes, giveBack }: { readonly pipes: OutputPipes; readonly giveBack: () => void },
  ) {
    this.#plan = plan;
    this.#child = child;
    this.#pipes = pipes;
    this.#giveBack = giveBack;
    const socket = child.stdio[4];
    if (!(socket instanceof Duplex)) throw runtimeFailed("the launcher has no channel");
    this.#channel = new StepChannel(socket);
    this.#exited = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => resolve({ code }));
    });
    // Prevents an unhandled rejection, because the promise may be awaited later or never.
    this.#exited.catch(() => {});
    this.#succeeded = this.#successOf(child.stdio.at(5));
    const closeWriters = () => pipes.closeWriters();
    Promise.race([this.#channel.ready, this.#exited]).then(closeWriters, closeWriters);
  }

  /**
   * An OCI runtime that fails or is killed may leave processes. These end with the launcher's namespace, so only the
   * launcher's exit is the end. The same holds for gVisor's own processes.
   */
  #successOf(report: unknown): Promise<Ended> {
    if (!(report instanceof Readable)) throw runtimeFailed("the launcher can't report the end");
    report.on("error", () => {});
    return new Promise((resolve) => {
      report.once("data", (bytes: Buffer) => {
        if (this.#plan.isGvisor || bytes.toString() !== "0\n") return;
        this.#hasSucceeded = true;
        resolve({ code: 0 });
      });
    });
  }

  static async start(plan: StepProcessPlan): Promise<WaitingLauncher> {
    const taken = await plan.pipes.open();
    await using errors = await open(launcherLog(plan), "w", 0o600);
    const { file, args } = launchCommand({ ...plan.launch, outputPaths: taken.pipes.paths });
    const child = spawn(file, [...args], {
      cwd: plan.cwd,
      env: { PATH: systemPath, LC_ALL: "C" },
      stdio: ["ignore", "ignore", errors.fd, "ignore", "pipe", "pipe"],
      // In a separate session, because Ctrl-C in the executor's terminal must reach only the executor.
      detached: true,
    });
    const launcher = new WaitingLauncher(plan, child, taken);
    if (!plan.cgroup && child.pid !== undefined) await markLauncher(plan.directory, child.pid);
    return launcher;
  }

  /** Whether the launcher is still waiting. A failed launcher can't be used any more. */
  get isThere(): boolean {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return false;
    // The kernel knows of an end before Node reports it.
    return readProcessStatus(this.#pid)?.isDead === false;
  }

  /**
   * Runs the step to its end. Call it once. Implements what {@link Sandbox.runStep} guarantees about ends, output and
   * abortion.
   */
  async run(options: Abortable & { readonly output: StepOutput }): Promise<StepStatus> {
    try {
      return await this.#follow(options);
    } finally {
      const disposed = this[Symbol.asyncDispose]();
      // After its report, a launcher only waits for the kernel to remove its namespaces. The step does not wait for that.
      if (!this.#hasSucceeded) await disposed;
    }
  }

  /** Ends a waiting launcher. After {@link run}, resolves when it has exited. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    if (!this.#channel.hasBegun) {
      // Lets the launcher end by itself. unshare(1) asks for the inner process's death only after the fork, so a SIGKILL
      // just before would leave the inner process behind. It would then join the cgroup and wait for a reader.
      this.#channel.destroy();
      await Promise.race([this.#exited.catch(() => {}), delay(closingMs, undefined, { ref: false })]);
    }
    // If the outer process was killed, the inner one would still be exiting when the outer one has.
    if (this.isThere && !this.#hasSucceeded) this.#child.kill("SIGKILL");
    await this.#exited.catch(() => {});
    this.#channel.destroy();
    this.#pipes.stdout.destroy();
    this.#pipes.stderr.destroy();
    this.#giveBack();
  }

  async #follow({ signal, output }: Abortable & { readonly output: StepOutput }): Promise<StepStatus> {
    const plan = this.#plan;
    const failed = new AbortController();
    const reader = new StepOutputReader(this.#pipes, output);
    // Without a reader for its output the step would wait forever.
    reader.delivered.catch((error: unknown) => failed.abort(error));

    const stop = AbortSignal.any([signal, failed.signal]);
    const ended = await unlessAborted(stop, this.#untilEnded(reader, stop)).then((end) => end ?? this.#terminate());
    // The container's processes ended with their init. This kills processes that the OCI runtime itself may have left.
    if (!this.#hasSucceeded) await plan.cgroup?.kill();
    if (stop.aborted) {
      // Deliver earlier output, unless its reader hangs, too.
      await Promise.race([reader.delivered.catch(() => {}), delay(1000)]);
      throw stop.reason;
    }
    await reader.delivered;
    return await statusOf(this.#channel.exitCode ?? ended.code, plan);
  }

  /** Begins the step and lets it end by itself. Goes no further when `stop` is aborted. */
  async #untilEnded(reader: StepOutputReader, stop: AbortSignal): Promise<Ended> {
    const isReady = await Promise.race([this.#channel.ready.then(() => true), this.#exited.then(() => false)]);
    if (isReady && !stop.aborted) this.#channel.begin();
    const left = this.#channel.scriptEnded.then(() => "left processes" as const);
    const first = await Promise.race([this.#exited, this.#succeeded, left]);
    if (first !== "left processes") return first;
    const late = { left: () => this.#left(), idleMs: () => reader.idleMs, signal: stop };
    await Promise.race([untilPrinted(late), this.#exited]);
    return stop.aborted ? await this.#exited : await this.#finish();
  }

  /** The step's processes besides its first one. */
  async #left(): Promise<LeftProcesses> {
    if (this.#plan.isGvisor) {
      const ended = this.#exited.then(() => 0);
      // The image's shell answers. A hostile shell must not be able to delay the end of the step.
      const silent = delay(answerMs, 1, { ref: false });
      return { count: await Promise.race([this.#channel.countProcesses(), ended, silent]), areBusy: undefined };
    }
    const { others, areBusy } = await this.#processes();
    return { count: others.length, areBusy };
  }

  get #pid(): number {
    return this.#child.pid ?? 0;
  }

  #processes() {
    return findStepProcesses(this.#pid, this.#plan.cgroup);
  }

  /**
   * Sends SIGTERM to every process of the step and waits until none is left, for the grace period at most. Then kills
   * the rest. The first process gets no SIGTERM, because it ends after the others.
   */
  async #terminate(): Promise<Ended> {
    const plan = this.#plan;
    // runc writes the first process's id a moment after that process has started.
    for (const deadline = Date.now() + 1000; Date.now() < deadline && !(await hasStarted(plan)); ) {
      if (!this.isThere) return await this.#exited;
      await Promise.race([this.#exited, delay(10)]);
    }
    if (await hasStarted(plan)) {
      if (plan.signal) await plan.signal("TERM", this.#pid);
      else for (const pid of (await this.#processes()).others) killProcess(pid, "SIGTERM");
      for (const deadline = Date.now() + gracePeriodMs; Date.now() < deadline; ) {
        const ended = await Promise.race([this.#exited, delay(lookMs)]);
        if (ended !== undefined) return ended;
        // gVisor's processes can be counted when the script has ended.
        if (plan.isGvisor && this.#channel.exitCode === undefined) continue;
        if ((await this.#left()).count === 0) break;
      }
    }
    return await this.#finish();
  }

  /** Ends all processes of the step. The first process exits by itself if possible. */
  async #finish(): Promise<Ended> {
    const plan = this.#plan;
    this.#channel.end();
    if (this.#channel.exitCode === undefined) {
      await plan.signal?.("KILL", this.#pid);
      const { init } = plan.isGvisor ? { init: undefined } : await this.#processes();
      if (init !== undefined) killProcess(init, "SIGKILL");
    }
    const ended = await Promise.race([this.#exited, delay(1000)]);
    if (ended !== undefined) return ended;
    if (plan.cgroup) {
      this.#child.kill("SIGKILL");
      await plan.cgroup.kill();
    } else await endMarkedLauncher(plan.directory);
    return await this.#exited;
  }
}

interface Ended {
  /** Resolves to `null` if it was killed. */
  readonly code: number | null;
}

/** Resolves to `undefined` if aborted before. */
async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = () => aborted.resolve(undefined);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([aborted.promise, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    promise.catch(() => {});
  }
}

/** Whether the OCI runtime has written the id of the step's first process. */
async function hasStarted(plan: StepProcessPlan): Promise<boolean> {
  return Number(await readIfThere(plan.pidFile)) > 0;
}

function launcherLog(plan: StepProcessPlan): string {
  return `${plan.logFile}.launcher`;
}

/**
 * OCI runtimes exit with 128 + n when signal n killed the init, and also when the init exits with that code. The two
 * can't be told apart, with one exception: processes inside a pid namespace can't kill its init. So SIGKILL comes from
 * the executor or from the kernel, which counts its own kills in the cgroup. Everything else is reported as an exit
 * code.
 */
async function statusOf(code: number | null, plan: StepProcessPlan): Promise<StepStatus> {
  const outOfMemory = ((await plan.cgroup?.oomKills()) ?? 0) > 0;
  // With gVisor, the step's whole kernel is killed, and runsc exits with its own code.
  if (outOfMemory && (code === 137 || code === null || (plan.isGvisor && code !== 0)))
    return { kind: "killed", signal: "SIGKILL", outOfMemory: true };
  if (code === null) throw runtimeFailed("the OCI runtime was killed");
  if (code !== 0) {
    const launcherError = (await readIfThere(launcherLog(plan))).trim();
    const isStarted = await hasStarted(plan);
    const problem = firstError(await readIfThere(plan.logFile));
    if (launcherError !== "" && !isStarted)
      throw runtimeFailed(`cannot start the step: ${launcherError.slice(0, 1000)}`);
    if (problem !== undefined) {
      throw runtimeFailed(`cannot start the step: ${problem}`);
    }
    if (!isStarted) throw runtimeFailed(`cannot start the step: ${plan.launch.command[0]} ended with ${code}`);
  }
  return { kind: "exited", exitCode: code };
}

function firstError(log: string): string | undefined {
  for (const line of log.split("\n")) {
    if (!/"level":\s*"(?:error|fatal)"/.test(line)) continue;
    const entry: unknown = JSON.parse(line);
    if (typeof entry === "object" && entry !== null && "msg" in entry) return String(entry.msg).slice(0, 1000);
  }
  return undefined;
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return "";
    throw error;
  }
}
