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
  /** The launcher's current directory: overlay options name directories relative to it. */
  readonly cwd: string;
  /** Everything of the step is in it; `undefined` where there are no cgroups. */
  readonly cgroup: Cgroup | undefined;
  readonly pidFile: string;
  /** Where the OCI runtime writes its own errors, as JSON lines. */
  readonly logFile: string;
  readonly pipes: OutputPipePool;
  /** Whether the process of the pid file is gVisor's kernel. */
  readonly isGvisor: boolean;
  /** Signals all processes of the step, where that is not the kernel's affair. */
  readonly signal: ((signal: "TERM" | "KILL") => Promise<void>) | undefined;
}

/** Between SIGTERM and SIGKILL. */
const gracePeriodMs = 5000;

/** The way to a step that has not begun: a process with its mounts and cgroups, and the pipes for the output. */
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
    // Awaited later, if at all.
    this.#exited.catch(() => {});
    // A launcher that has failed reads nothing; its end says why.
    child.stdin?.on("error", () => {});
  }

  static async start(plan: StepProcessPlan): Promise<WaitingLauncher> {
    const taken = await plan.pipes.open();
    await using errors = await open(launcherLog(plan), "w", 0o600);
    const { file, args } = launchCommand(plan.launch);
    const child = spawn(file, [...args], {
      cwd: plan.cwd,
      env: { PATH: systemPath, LC_ALL: "C" },
      // The launcher's own errors go elsewhere; it hands the step its stderr at the end.
      stdio: ["pipe", taken.pipes.writers[0], errors.fd, taken.pipes.writers[1]],
      // A session of its own: Ctrl-C in the executor's terminal is the executor's to handle.
      detached: true,
    });
    const launcher = new WaitingLauncher(plan, child, taken);
    await taken.pipes.closeWriters();
    return launcher;
  }

  /** Whether it waits, as far as is known: one that has failed can't be used any more. */
  get isThere(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Runs the step to its end, once. What {@link Sandbox.runStep} promises about ends, output and abortion is kept here.
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

  /** Ends it where it waits; does nothing after {@link run}. */
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
    // Whoever can't take the output can't have the step go on, which would wait for him for ever.
    delivered.catch((error: unknown) => failed.abort(error));

    const stop = AbortSignal.any([signal, failed.signal]);
    const ended = await endOf(this.#exited, plan, this.#child, stop);
    // The container's pid namespace is gone with its init. This is for what the OCI runtime itself may have left.
    await plan.cgroup?.kill();
    if (stop.aborted) {
      // What was printed before the end still goes out, unless its reader hangs too.
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

/** One call at a time, so that a reader who awaits sees the two streams one after the other. */
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

  // runc says who the init is a moment after that has begun to run.
  for (const deadline = Date.now() + 1000; Date.now() < deadline && (await initOf(plan)) === undefined; ) {
    const ended = await Promise.race([exited, delay(10)]);
    if (ended !== undefined) return ended;
  }
  const terminated = await terminate(plan, child);
  const deadline = Date.now() + (terminated ? gracePeriodMs : 0);
  while (Date.now() < deadline) {
    const ended = await Promise.race([exited, delay(20)]);
    if (ended !== undefined) return ended;
    // Only the stopped init is left, and it will never end by itself.
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
 * Asks every process of the step to end. The first process of a pid namespace is deaf to signals that it has no handler
 * for, as a plain shell is to SIGTERM, and would go on with the script's next command when the current one ends: such an
 * init is stopped while the others end. Answers `undefined` when the step has not got as far.
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
    // Zombies wait for the stopped init, which is not going to reap them.
    if (pid !== init && pid !== child.pid && !(await isZombie(pid))) return false;
  }
  return true;
}

/** The process id of the step's first process in the host's namespace, once it has one. */
async function initOf(plan: StepProcessPlan): Promise<number | undefined> {
  const pid = Number(await readIfThere(plan.pidFile));
  return pid > 0 ? pid : undefined;
}

/** Everything that runs in the step; where there are no cgroups, what is in its pid namespace. */
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
    // Processes end meanwhile, and those of others may not be looked at.
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
 * OCI runtimes end with 128 + n when signal n killed the init, the same as when it exits with that code by itself. They
 * can't be told apart, but for one: a pid namespace's init can't be killed from inside, so SIGKILL comes from us or from the
 * kernel, which counts its own in the cgroup. Everything else is reported as the code that it is.
 */
async function statusOf(code: number | null, plan: StepProcessPlan): Promise<StepStatus> {
  const outOfMemory = ((await plan.cgroup?.oomKills()) ?? 0) > 0;
  // With gVisor it is the whole kernel of the step that dies, and runsc ends with a code of its own.
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
