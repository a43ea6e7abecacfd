import { join } from "node:path";
import { outputOf } from "@airlock/process";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import { type GvisorOptions, gvisorFlags } from "./gvisor.ts";
import type { ChannelDescriptor } from "./launcher.ts";
import type { RuntimeBinary } from "./runtime-binary.ts";

export interface ContainerPlan {
  readonly binary: RuntimeBinary;
  readonly gvisor: GvisorOptions;
  readonly hasNetwork: boolean;
  /** Directory where the OCI runtime records its containers. */
  readonly stateDirectory: string;
  /** Directory with the container's `config.json`. Its log and its pid file are written there, too. */
  readonly bundle: string;
  readonly containerId: string;
  /** Whether the container joins a user namespace that exists already. */
  readonly joinsUserNamespace: boolean;
  readonly limits: ProcessLimits;
}

/** The command lines for running one container. */
export class ContainerCommands {
  readonly #plan: ContainerPlan;

  constructor(plan: ContainerPlan) {
    this.#plan = plan;
  }

  /**
   * Whether the OCI runtime starts inside the cgroups that the launcher joined. runc can't leave cgroups alone: it
   * creates its own at the given path.
   */
  get joinsCgroups(): boolean {
    return this.#plan.binary.kind !== "runc";
  }

  /**
   * Whether limits of processes are set ahead of the OCI runtime and not by it. In a namespace that another user has
   * made, runc can't change them unless the executor has CAP_SYS_RESOURCE.
   */
  get setsLimits(): boolean {
    return this.#plan.binary.kind === "runc" && this.#plan.joinsUserNamespace;
  }

  get logFile(): string {
    return join(this.#plan.bundle, "log");
  }

  get pidFile(): string {
    return join(this.#plan.bundle, "pid");
  }

  /**
   * The descriptor at which the first process finds the channel. crun and runc pass on extra descriptors, and runc
   * replaces the standard input. gVisor's runsc passes on only the standard streams.
   */
  get channelDescriptor(): ChannelDescriptor {
    return this.#plan.binary.kind === "runsc" ? 0 : 3;
  }

  get run(): readonly string[] {
    const { maxOpenFiles, pendingSignals, messageQueueBytes } = this.#plan.limits;
    const limits = [`--nofile=${maxOpenFiles}`, `--sigpending=${pendingSignals}`, `--msgqueue=${messageQueueBytes}`];
    return [
      ...(this.setsLimits ? ["prlimit", ...limits, "--core=0", "--"] : []),
      ...this.#prefix,
      "run",
      ...(this.channelDescriptor === 3 ? ["--preserve-fds", "1"] : []),
      // Keep the cgroup after the container's end, because it has the kernel's count of memory kills.
      ...(this.#plan.binary.kind === "runc" ? ["--keep"] : []),
      "--pid-file",
      this.pidFile,
      "--bundle",
      this.#plan.bundle,
      this.#plan.containerId,
    ];
  }

  /** Signals all processes of the container. Only for gVisor, whose processes the host's kernel does not know. */
  get signal(): ((signal: "TERM" | "KILL", launcher: number) => Promise<void>) | undefined {
    if (this.#plan.binary.kind !== "runsc") return undefined;
    return async (signal, launcher) => {
      // The ids that runsc recorded are valid in the process namespace that it runs in.
      const inside = ["nsenter", `--pid=/proc/${launcher}/ns/pid_for_children`, "--"];
      // The container may have ended meanwhile. If not, the rest is killed through its cgroup.
      await outputOf([...inside, ...this.#prefix, "kill", "--all", this.#plan.containerId, signal]).catch(() => {});
    };
  }

  get #prefix(): readonly string[] {
    const { binary, gvisor, hasNetwork, stateDirectory } = this.#plan;
    const own = {
      crun: ["--cgroup-manager=disabled"],
      runc: [],
      runsc: gvisorFlags(gvisor, { hasNetwork }),
    }[binary.kind];
    return [binary.path, "--root", stateDirectory, "--log", this.logFile, "--log-format", "json", ...own];
  }
}
