import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Abortable, SandboxStep, StepOutput, StepStatus } from "../contract/index.ts";
import { imageUnusable, memoryTooSmall, runtimeFailed } from "../contract/index.ts";
import { gracePeriodMs, lookMs, untilPrinted } from "../ending/late-output.ts";
import { creationFailure, startFailure } from "./container-failure.ts";
import { ContainerProcesses } from "./container-processes.ts";
import { type ContainerPlan, containerSpec, plainOverhead } from "./container-spec.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { CreatedReply, EventReply, ExecReply } from "./engine-replies.ts";
import { exitStatus } from "./exit-status.ts";
import { Keeper } from "./keeper.ts";
import { LimitsDuringStep } from "./limits-during-step.ts";
import { inspectContainer, removeContainer } from "./made-container.ts";
import { OutputQueue } from "./output-queue.ts";
import { readLines } from "./read-lines.ts";
import { reapContainer } from "./reap-container.ts";
import { runExec } from "./run-exec.ts";
import type { SharedCgroup } from "./shared-cgroup.ts";
import { StreamFrames } from "./stream-frames.ts";
import { stoppable, within } from "./waits.ts";
import {
  checkUserIds,
  numericUser,
  parsePrintedUser,
  printUser,
  type UserIds,
  unusableUser,
} from "./workspace-user.ts";

export interface StepContainerOptions extends ContainerPlan {
  readonly name: string;
  /** The image reference as the job wrote it, for messages. */
  readonly image: string;
  /** The image's own user, which its steps run as. */
  readonly user: string;
  /** The sandbox's parent cgroup. `undefined` if there is none. */
  readonly cgroup: SharedCgroup | undefined;
}

export interface StepRun extends Abortable {
  readonly output: StepOutput;
  /** Kills the step at once, without SIGTERM and grace period: what it would do meanwhile is what must stop. */
  readonly kill: AbortSignal | undefined;
}

const readyTimeoutMs = 60_000;
const answerTimeoutMs = 2_000;
const outOfMemoryEventMs = 500;
const pollMs = { first: 20, most: 500 };
const mostLookMs = 100;

/**
 * Shell command that enters the working directory and replaces itself by the script. It creates the directory inside
 * the container, where the job's symlinks can't lead to the host. The raised OOM score makes the kernel kill the step
 * before the keeper.
 */
const enter = `{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null; [ -d "$1" ] || mkdir -p -- "$1" && cd -- "$1" && exec /bin/sh "$2"`;

/** Exit code of gVisor's kernel when it crashes, for example because it was refused a thread. */
const panicked = 2;
const kernelPanicked =
  "the sandbox's own kernel failed: the step used something that it does not support, or started more processes than the job's limit (resources.pids)";

/** One running container: its keeper, and an exec for each step. */
export class StepContainer implements AsyncDisposable {
  readonly id: string;
  readonly #engine: EngineClient;
  readonly #options: StepContainerOptions;
  readonly #keeper: Keeper;
  readonly #processes: ContainerProcesses;
  #hadOutOfMemory = false;
  #isRunning = false;
  #user: UserIds | null = null;
  #removed: Promise<void> | undefined;

  private constructor(engine: EngineClient, options: StepContainerOptions, id: string, keeper: Keeper) {
    this.id = id;
    this.#engine = engine;
    this.#options = options;
    this.#keeper = keeper;
    const { overhead, cgroup } = options;
    this.#processes = new ContainerProcesses({ engine, container: id, overhead, cgroup });
  }

  /**
   * Creates and starts a container. Takes no signal, because an aborted creation could leave a container behind.
   * @throws {AirlockError} reason `image-invalid` when the image's `/bin/sh` does not run.
   */
  static async start(engine: EngineClient, options: StepContainerOptions): Promise<StepContainer> {
    await using cleanup = new AsyncDisposableStack();
    const query = { name: options.name };
    const about = {
      image: options.image,
      memoryBytes: options.sandbox.limits.memoryBytes,
      reachedMemoryLimit: async () => (await options.cgroup?.reachedMemoryLimit()) ?? false,
    };
    const request = { method: "POST", path: "/containers/create", query, body: containerSpec(options) } as const;
    const created = engine.json(CreatedReply, request).catch((error: unknown) => {
      throw creationFailure(error, about);
    });
    // The request goes out before this turn of the event loop ends.
    setImmediate(() => options.cgroup?.guard());
    const { Id: id } = await created;
    options.cgroup?.guard();
    cleanup.defer(async () => {
      await removeContainer(engine, id);
      if (engine.isLocal && process.geteuid?.() === 0) await reapContainer(id);
    });
    const keeper = new Keeper(
      await engine.hijack({
        method: "POST",
        path: `/containers/${id}/attach`,
        query: { stream: 1, stdin: 1, stdout: 1, stderr: 1 },
      }),
    );
    cleanup.defer(() => keeper.destroy());
    const ready = keeper.ready();
    await engine.send({ method: "POST", path: `/containers/${id}/start` }).catch(async (error: unknown) => {
      throw await startFailure(error, about);
    });
    const isReady = await within(readyTimeoutMs, ready);
    if (isReady !== true) {
      const state = await inspectContainer(engine, id);
      if (isReady === undefined || state === undefined || state.Running) {
        throw runtimeFailed(`the container of image "${options.image}" did not start`);
      }
      if (state.OOMKilled) throw memoryTooSmall(options.image, options.sandbox.limits.memoryBytes);
      const why = state.Error || keeper.lastWords || `it exited with ${state.ExitCode}`;
      throw imageUnusable(
        options.image,
        "has no working /bin/sh",
        "Steps are shell scripts: use an image with a shell for this machine's architecture.",
        new Error(why),
      );
    }
    cleanup.move();
    return new StepContainer(engine, options, id, keeper);
  }

  /** Whether a further step can run in it. */
  get isAlive(): boolean {
    return !this.#keeper.isGone && this.#removed === undefined;
  }

  /** Runs one step; see the contract. Afterwards either none of its processes is left or the container is gone. */
  async runStep(step: SandboxStep, run: StepRun): Promise<StepStatus> {
    run.signal.throwIfAborted();
    // Steps can't overlap, because the end of a step kills every process in the container.
    if (this.#isRunning) throw runtimeFailed("another step is running in this sandbox");
    this.#isRunning = true;
    try {
      return await this.#runStep(step, run);
    } finally {
      this.#isRunning = false;
    }
  }

  /**
   * The ids of the image's user. A user name is resolved by the image's own shell, so the result can't be trusted.
   * @throws {AirlockError} reason `image-invalid` when there is no such user.
   */
  async userIds({ signal }: Abortable): Promise<UserIds> {
    if (this.#user) return this.#user;
    const { user, image, facts } = this.#options;
    checkUserIds(image, user, { remapsUsers: facts.remappedRoot !== null });
    this.#user = numericUser(user);
    if (this.#user) return this.#user;
    const command = ["/bin/sh", "-c", printUser];
    const said = await runExec(this.#engine, this.id, { command, user, signal }).then(
      ({ output }) => output,
      (error: unknown) => {
        if (error instanceof EngineError) return error.message;
        throw error;
      },
    );
    this.#user = parsePrintedUser(said);
    if (!this.#user) throw unusableUser(image, user, said);
    return this.#user;
  }

  /**
   * Makes a user the owner of the workspace, with the image's own `chown`.
   * @throws {AirlockError} reason `image-invalid` when the image has no `chown`.
   */
  async giveWorkspace({ uid, gid }: UserIds, { signal }: Abortable): Promise<void> {
    const command = ["chown", "-h", "-R", `${uid}:${gid}`, "/data"];
    const { exitCode, output } = await runExec(this.#engine, this.id, { command, user: "0:0", signal });
    if (exitCode === 0) return;
    throw imageUnusable(
      this.#options.image,
      "cannot give the workspace to its user",
      "Use an image with a chown program, or with root as its user.",
      new Error(output.trim()),
    );
  }

  async #runStep(step: SandboxStep, { signal, output, kill }: StepRun): Promise<StepStatus> {
    const limits = await LimitsDuringStep.begin(this.#options.cgroup);
    using _starvation = this.#options.cgroup?.watchStarvation();
    const exec = await this.#createExec(step);
    const body = await this.#engine.stream({ method: "POST", path: `/exec/${exec}/start`, body: { Detach: false } });
    const queue = new OutputQueue(output);
    const reading = readInto(body, queue);
    const ended = this.#untilEnded(exec, reading);
    const stop = kill ? AbortSignal.any([kill, signal]) : signal;
    try {
      await stoppable(ended, queue, stop);
      await stoppable(this.#untilPrinted(queue, reading, stop), queue, stop);
    } catch (error) {
      if (!kill?.aborted) await this.#terminate(kill);
      // Report the original error. A container that could not be cleared is removed with the sandbox.
      await Promise.allSettled([this.#clear(queue, reading, body)]);
      await within(gracePeriodMs, Promise.allSettled([queue.drained()]));
      throw error;
    }
    const survived = await this.#clear(queue, reading, body);
    await queue.drained();
    const status = await this.#status(exec, await ended, survived, limits);
    const notes = await limits.notes(status, this.#options.sandbox.limits);
    return notes.length > 0 ? { ...status, notes: [...(status.notes ?? []), ...notes] } : status;
  }

  /** Removes the container within a time limit. A container that can't be removed now is left to the collection. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#removed ??= this.#remove();
    return this.#removed;
  }

  async #remove(): Promise<void> {
    this.#keeper.destroy();
    await removeContainer(this.#engine, this.id);
  }

  async #createExec(step: SandboxStep): Promise<string> {
    const { Id } = await this.#engine.json(CreatedReply, {
      method: "POST",
      path: `/containers/${this.id}/exec`,
      body: {
        Cmd: ["/bin/sh", "-c", enter, "sh", step.workingDirectory, step.script],
        Env: Object.entries(step.env).map(([name, value]) => `${name}=${value}`),
        User: this.#options.user,
        WorkingDir: "/",
        AttachStdout: true,
        AttachStderr: true,
      },
    });
    return Id;
  }

  /**
   * Resolves to the exit code when the exec's own process has ended, or to `undefined` if the container died with it.
   * The end of the output proves nothing: a daemon may hold it open, and a process may close it and keep running.
   */
  async #untilEnded(exec: string, reading: Promise<void>): Promise<number | undefined> {
    // Most steps end together with their output, so wait for that. Poll rarely for those that don't.
    const outputEnd = new AbortController();
    void Promise.race([reading, this.#keeper.gone]).then(() => outputEnd.abort());
    let waitMs: number = pollMs.first;
    for (;;) {
      if (outputEnd.signal.aborted) {
        await sleep(waitMs, undefined, { ref: false });
        waitMs = Math.min(waitMs * 2, pollMs.most);
      } else {
        await sleep(pollMs.most, undefined, { ref: false, signal: outputEnd.signal }).catch(() => {});
      }
      const state = await this.#inspectExec(exec);
      if (state === undefined) return undefined;
      if (!state.Running) return state.ExitCode ?? undefined;
      if (this.#keeper.isGone) return undefined;
    }
  }

  async #inspectExec(exec: string) {
    try {
      return await this.#engine.json(ExecReply, { path: `/exec/${exec}/json` });
    } catch (error) {
      if (error instanceof EngineError && [404, 409].includes(error.status)) return undefined;
      throw error;
    }
  }

  /** Takes what processes pass on that the script left behind; until the stream ends, at the latest. */
  async #untilPrinted(queue: OutputQueue, reading: Promise<void>, stop: AbortSignal): Promise<void> {
    queue.widen();
    const over = new AbortController();
    void Promise.race([reading, this.#keeper.gone]).then(() => over.abort());
    const signal = AbortSignal.any([over.signal, stop]);
    try {
      await untilPrinted({ left: () => this.#processes.look(), idleMs: () => queue.idleMs, signal });
    } catch (error) {
      // A container that is gone has nothing to say; what became of it is found out below.
      if (!(error instanceof EngineError)) throw error;
    }
  }

  /** Asks every process of the step to end, and waits until none is left, for the grace period at most. */
  async #terminate(kill: AbortSignal | undefined): Promise<void> {
    const answered = await this.#keeper.signal("TERM", answerTimeoutMs);
    if (!answered) return;
    const deadline = Date.now() + gracePeriodMs;
    let waitMs = lookMs;
    while (Date.now() < deadline && !kill?.aborted && !this.#keeper.isGone) {
      await sleep(waitMs);
      // Where the engine has to be asked, each look is a process of the machine.
      waitMs = Math.min(waitMs * 2, mostLookMs);
      if (await this.#processes.look().then(({ count }) => count === 0, isEngineError)) return;
    }
  }

  /**
   * Kills what the step left behind, then reads the remaining output. Resolves to whether the container was still
   * alive.
   */
  async #clear(queue: OutputQueue, reading: Promise<void>, body: Readable): Promise<boolean> {
    queue.lift();
    // Verify it from outside: a hostile step may have tampered with the keeper or left a process that can't be killed.
    const isEmpty = (await this.#keeper.signal("KILL", answerTimeoutMs)) && (await this.#processes.areGone());
    const survived = !this.#keeper.isGone;
    if (!isEmpty && survived) await this[Symbol.asyncDispose]();
    // No process writes any more, so the stream ends unless the engine has lost it.
    await within(answerTimeoutMs, reading);
    body.destroy();
    await reading;
    return survived;
  }

  async #status(
    exec: string,
    exitCode: number | undefined,
    survived: boolean,
    limits: LimitsDuringStep,
  ): Promise<StepStatus> {
    const hasOwnKernel = this.#options.overhead !== plainOverhead;
    // Exit code 137 of a container that died proves nothing, because every process is killed with it. A gVisor kernel
    // that died reports nothing meaningful.
    if (exitCode !== undefined && (survived || (exitCode !== 137 && !hasOwnKernel))) {
      return exitStatus(exitCode, exitCode === 137 && (await this.#wasOutOfMemory(exec, limits)));
    }
    const state = this.#removed ? undefined : await inspectContainer(this.#engine, this.id);
    if (state?.OOMKilled || (await limits.counts()).oomKills > 0)
      return { kind: "killed", signal: "SIGKILL", outOfMemory: true };
    if (hasOwnKernel && state?.ExitCode === panicked) {
      return { kind: "killed", signal: "SIGKILL", outOfMemory: false, notes: [kernelPanicked] };
    }
    throw runtimeFailed(
      "the container ended while the step was running",
      state ? new Error(state.Error || `it exited with ${state.ExitCode}`) : undefined,
      "Check that nothing restarted the Docker engine or removed its containers.",
    );
  }

  /**
   * Whether the step ran out of memory. The engine learns of it before the end of the step but reports it in a separate
   * event stream. Events of earlier steps come before the start of this one and are skipped.
   */
  async #wasOutOfMemory(exec: string, limits: LimitsDuringStep): Promise<boolean> {
    // The counter covers all containers of the sandbox, like the limit: the memory of another container may have used
    // it up.
    if (limits.isInSight) return (await limits.counts()).oomKills > 0;
    const filters = JSON.stringify({ container: [this.id], event: ["oom", "exec_start"] });
    const signal = AbortSignal.timeout(outOfMemoryEventMs);
    let started = !this.#hadOutOfMemory;
    try {
      const body = await this.#engine.stream({ path: "/events", query: { since: 1, filters }, signal });
      for await (const line of readLines(body)) {
        const { Action, Actor } = EventReply.parse(JSON.parse(line));
        if (Actor.Attributes.execID === exec) started = true;
        if (Action !== "oom" || !started) continue;
        this.#hadOutOfMemory = true;
        return true;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return false;
  }
}

/** Whether the engine has lost the container. */
function isEngineError(error: unknown): true {
  if (error instanceof EngineError) return true;
  throw error;
}

/** Reads the stream to its end, even if it fails. What became of the process is found out elsewhere. */
async function readInto(body: Readable, queue: OutputQueue): Promise<void> {
  const frames = new StreamFrames();
  try {
    for await (const chunk of body) {
      for (const piece of frames.push(chunk as Buffer)) await queue.push(piece);
    }
  } catch {
    // The engine or container died, or the output failed. Callers learn of it from the exec and the queue.
  }
}
