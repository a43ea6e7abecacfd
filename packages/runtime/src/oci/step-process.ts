import { type ChildProcess, spawn } from "node:child_process";
import { open, readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { systemPath } from "@airlock/process";
import type { Abortable, StepOutput, StepStatus } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";
import { type Cgroup, killProcess } from "../host/cgroups/cgroup.ts";
import { errorCode } from "../host/error-code.ts";
import { type LaunchPlan, launchCommand } from "./launcher.ts";
import type { OutputPipePool, OutputPipes } from "./output-pipes.ts";

export interface StepProcessPlan {
  readonly launch: LaunchPlan;
  /** The launcher's current directory. Paths in overlay options are relative to it. */
  readonly cwd: string;
  /** Cgroup of all processes of the step; `undefined` without cgroups. */
  readonly cgroup: Cgroup | undefined;
  readonly pidFile: string;
  /** File to which the OCI runtime writes its own errors, as JSON lines. */
  readonly logFile: string;
  readonly pipes: OutputPipePool;
  /** Whether the pid file names gVisor's kernel. */
  readonly isGvisor: boolean;
  /** Signals all processes of the step. `undefined` if the host's kernel can signal them. */
  readonly signal: ((signal: "TERM" | "KILL") => Promise<void>) | undefined;
}

/** Time between SIGTERM and SIGKILL. */
const gracePeriodMs = 5000;

/** A prepared step that has not begun: a process with the step's mounts and cgroups, and the pipes for its output. */
export class WaitingLauncher implements AsyncDisposable {
  readonly #plan: StepProcessPlan;
  readonly #child: ChildProcess;
  readonly #exited: Promise<{ code: number | null }>;
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
    this.#exited = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => resolve({ code }));
    });
    // Prevents an unhandled rejection, because the promise may be awaited later or never.
    this.#exited.catch(() => {});
    // A launcher that failed does not read its stdin. Its exit reports the failure.
    child.stdin?.on("error", () => {});
  }

  static async start(plan: StepProcessPlan): Promise<WaitingLauncher> {
    const taken = await plan.pipes.open();
    await using errors = await open(launcherLog(plan), "w", 0o600);
    const { file, args } = launchCommand(plan.launch);
    const child = spawn(file, [...args], {
      cwd: plan.cwd,
      env: { PATH: systemPath, LC_ALL: "C" },
      // The launcher's stderr goes to a file. The launcher finally replaces it with the step's stderr.
      stdio: ["pipe", taken.pipes.writers[0], errors.fd, taken.pipes.writers[1]],
      // A separate session, so that Ctrl-C in the executor's terminal reaches only the executor.
      detached: true,
    });
    const launcher = new WaitingLauncher(plan, child, taken);
    await taken.pipes.closeWriters();
    return launcher;
  }

  /** Whether the launcher is still waiting, as far as this process knows. A failed launcher can't be used any more. */
  get isThere(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Runs the step to its end. Call it once. Implements what {@link Sandbox.runStep} guarantees about ends, output and
   * abortion.
   */
  async run(options: Abortable & { readonly output: StepOutput }): Promise<StepStatus> {
    try {
      options.signal.throwIfAborted();
      this.#child.stdin?.end("go\n");
      return await this.#follow(options);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  /** Ends a waiting launcher. Has no effect after {@link run}. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    if (this.isThere) this.#child.kill("SIGKILL");
    await this.#exited.catch(() => {});
    this.#pipes.stdout.destroy();
    this.#pipes.stderr.destroy();
    this.#giveBack();
  }

  async #follow({ signal, output }: Abortable & { readonly output: StepOutput }): Promise<StepStatus> {
    const plan = this.#plan;
    const pipes = this.#pipes;
    const failed = new AbortController();
    const deliver = serialized(output);
    const delivered = Promise.all([
      pump(pipes.stdout, (bytes) => deliver("stdout", bytes)),
      pump(pipes.stderr, (bytes) => deliver("stderr", bytes)),
    ]);
    // If the output can't be delivered, end the step, which would otherwise wait forever.
    delivered.catch((error: unknown) => failed.abort(error));

    const stop = AbortSignal.any([signal, failed.signal]);
    const ended = await endOf(this.#exited, plan, this.#child, stop);
    // The container's processes ended with its init. This kills what the OCI runtime itself may have left.
    await plan.cgroup?.kill();
    if (stop.aborted) {
      // Deliver what was printed before the end, unless the reader hangs, too.
      await Promise.race([delivered.catch(() => {}), delay(1000)]);
      throw stop.reason;
    }
    await delivered;
    return await statusOf(ended.code, plan);
  }
}

function launcherLog(plan: StepProcessPlan): string {
  return `${plan.logFile}.launcher`;
}

/** Serializes the calls, so that an asynchronous reader gets the chunks of both streams one after another. */
function serialized(output: StepOutput): (stream: "stdout" | "stderr", bytes: Buffer) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return (stream, bytes) => {
    const next = last.then(() => output(stream, bytes));
    last = next.catch(() => {});
    return next;
  };
}

async function pump(source: AsyncIterable<Buffer>, take: (bytes: Buffer) => Promise<void>): Promise<void> {
  for await (const bytes of source) await take(bytes);
}

async function endOf(
  exited: Promise<{ code: number | null }>,
  plan: StepProcessPlan,
  child: ChildProcess,
  stop: AbortSignal,
): Promise<{ code: number | null }> {
  const stopped = Promise.withResolvers<"stopped">();
  const onStop = () => stopped.resolve("stopped");
  if (stop.aborted) onStop();
  stop.addEventListener("abort", onStop, { once: true });
  try {
    const first = await Promise.race([exited, stopped.promise]);
    if (first !== "stopped") return first;
  } finally {
    stop.removeEventListener("abort", onStop);
  }

  // runc writes the pid file shortly after the init has started.
  for (const deadline = Date.now() + 1000; Date.now() < deadline && (await initOf(plan)) === undefined; ) {
    const ended = await Promise.race([exited, delay(10)]);
    if (ended !== undefined) return ended;
  }
  const terminated = await terminate(plan, child);
  const deadline = Date.now() + (terminated ? gracePeriodMs : 0);
  while (Date.now() < deadline) {
    const ended = await Promise.race([exited, delay(20)]);
    if (ended !== undefined) return ended;
    // Only the stopped init is left, and it never ends by itself.
    if (terminated && (await isAlone(terminated, plan, child))) break;
  }
  const init = await initOf(plan);
  await plan.signal?.("KILL");
  if (init !== undefined) killProcess(init, "SIGKILL");
  else child.kill("SIGKILL");
  const ended = await Promise.race([exited, delay(1000)]);
  if (ended !== undefined) return ended;
  await plan.cgroup?.kill();
  child.kill("SIGKILL");
  return exited;
}

interface Terminated {
  readonly init: number;
  readonly isStopped: boolean;
}

/**
 * Sends SIGTERM to every process of the step. The first process of a pid namespace ignores signals that it has no
 * handler for, such as SIGTERM in a plain shell. It would continue with the script's next command when the current one
 * ends. Such an init is stopped while the others end. Resolves to `undefined` when the step has not started yet.
 */
async function terminate(plan: StepProcessPlan, child: ChildProcess): Promise<Terminated | undefined> {
  const init = await initOf(plan);
  if (init === undefined) return undefined;
  if (plan.signal) {
    await plan.signal("TERM");
    return { init, isStopped: false };
  }
  const isStopped = !(await handlesSigterm(init));
  killProcess(init, isStopped ? "SIGSTOP" : "SIGTERM");
  for (const pid of await processesOf(plan, init)) {
    if (pid !== init && pid !== child.pid) killProcess(pid, "SIGTERM");
  }
  return { init, isStopped };
}

async function isAlone({ init, isStopped }: Terminated, plan: StepProcessPlan, child: ChildProcess): Promise<boolean> {
  if (!isStopped) return false;
  for (const pid of await processesOf(plan, init)) {
    // The stopped init does not reap its zombies, so ignore them.
    if (pid !== init && pid !== child.pid && !(await isZombie(pid))) return false;
  }
  return true;
}

/** Process id of the step's first process in the host's namespace, once it exists. */
async function initOf(plan: StepProcessPlan): Promise<number | undefined> {
  const pid = Number(await readIfThere(plan.pidFile));
  return pid > 0 ? pid : undefined;
}

/** All processes of the step; without cgroups, all processes in its pid namespace. */
async function processesOf(plan: StepProcessPlan, init: number): Promise<Iterable<number>> {
  if (plan.cgroup) return plan.cgroup.processes();
  const namespace = await linkIfThere(`/proc/${init}/ns/pid`);
  const pids: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || namespace === undefined) continue;
    if ((await linkIfThere(`/proc/${name}/ns/pid`)) === namespace) pids.push(Number(name));
  }
  return pids;
}

async function linkIfThere(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    // The process ended meanwhile, or belongs to another user.
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}

async function handlesSigterm(pid: number): Promise<boolean> {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(await readIfThere(`/proc/${pid}/status`))?.[1] ?? "0";
  return (BigInt(`0x${mask}`) & (1n << 14n)) !== 0n;
}

async function isZombie(pid: number): Promise<boolean> {
  const status = await readIfThere(`/proc/${pid}/status`);
  return status === "" || /^State:\s*[ZX]/m.test(status);
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
    const hasStarted = (await initOf(plan)) !== undefined;
    const problem = firstError(await readIfThere(plan.logFile));
    if (launcherError !== "" && !hasStarted)
      throw runtimeFailed(`cannot start the step: ${launcherError.slice(0, 1000)}`);
    if (problem !== undefined) {
      throw runtimeFailed(`cannot start the step: ${problem}`);
    }
    if (!hasStarted) throw runtimeFailed(`cannot start the step: ${plan.launch.command[0]} ended with ${code}`);
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
