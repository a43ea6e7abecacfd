import { setTimeout as sleep } from "node:timers/promises";
import type { LeftProcesses } from "../ending/late-output.ts";
import { isBusyState, isDeadState, readProcessStatus } from "../host/process-status.ts";
import { type ContainerOverhead, keeperPids, plainOverhead } from "./container-spec.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { TopReply } from "./engine-replies.ts";
import { runExec } from "./run-exec.ts";
import type { SharedCgroup } from "./shared-cgroup.ts";

const answerTimeoutMs = 2_000;
const emptyTimeoutMs = 2_000;

export interface ContainerProcessesOptions {
  readonly engine: EngineClient;
  readonly container: string;
  readonly overhead: ContainerOverhead;
  /** The sandbox's cgroup. `undefined` if it is not visible here. */
  readonly cgroup: SharedCgroup | undefined;
}

/** The processes of steps in a container, without those that keep it. */
export class ContainerProcesses {
  readonly #options: ContainerProcessesOptions;

  constructor(options: ContainerProcessesOptions) {
    this.#options = options;
  }

  /**
   * Reads the container's cgroup if it is visible here. Otherwise asks the engine, which runs `ps`: its statistics are
   * updated only once per second. The processes of a user-space kernel (gVisor) are counted inside, because the host
   * does not see them.
   */
  async look(): Promise<LeftProcesses> {
    const { engine, container, overhead, cgroup } = this.#options;
    if (overhead !== plainOverhead) return { count: await this.#countInside(), areBusy: undefined };
    const inCgroup = (await cgroup?.processesOf(container)) ?? [];
    if (inCgroup.length > 0) {
      const statuses = inCgroup.map(readProcessStatus).filter((status) => status !== undefined);
      const living = statuses.filter(({ isDead }) => !isDead);
      return { count: withoutKeeper(living.length), areBusy: living.some(({ isBusy }) => isBusy) };
    }
    const path = `/containers/${container}/top`;
    const { Processes } = await engine.json(TopReply, { path, query: { ps_args: "-eo pid,stat" } });
    const states = (Processes ?? []).map(([, state = ""]) => state).filter((state) => !isDeadState(state));
    return { count: withoutKeeper(states.length), areBusy: states.some(isBusyState) };
  }

  /** Where a kernel in user space is too busy to answer, something is left. */
  async #countInside(): Promise<number> {
    const { engine, container } = this.#options;
    const command = ["/bin/sh", "-c", "set -- /proc/[0-9]*; echo $#"];
    const signal = AbortSignal.timeout(answerTimeoutMs);
    try {
      const { output } = await runExec(engine, container, { command, user: "0:0", signal });
      // Without the one that counts.
      return withoutKeeper(Number.parseInt(output, 10) - 1);
    } catch (error) {
      if (signal.aborted) return 1;
      throw error;
    }
  }

  /** Whether none is left within a moment; `false` also when the engine does not say. */
  async areGone(): Promise<boolean> {
    const deadline = Date.now() + emptyTimeoutMs;
    try {
      while ((await this.look()).count > 0) {
        if (Date.now() > deadline) return false;
        await sleep(10);
      }
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    }
  }
}

function withoutKeeper(count: number): number {
  return Math.max(0, count - keeperPids);
}
