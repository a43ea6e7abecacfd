import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { type GvisorOptions, gvisorFlags } from "./gvisor.ts";
import type { RuntimeBinary } from "./runtime-binary.ts";

export interface ContainerPlan {
  readonly binary: RuntimeBinary;
  readonly gvisor: GvisorOptions;
  readonly hasNetwork: boolean;
  /** Where the OCI runtime notes its containers. */
  readonly stateDirectory: string;
  /** Directory with the container's `config.json`; its log and process id get there, too. */
  readonly bundle: string;
  readonly containerId: string;
}

/** The command lines by which one container is run. */
export class ContainerCommands {
  readonly #plan: ContainerPlan;

  constructor(plan: ContainerPlan) {
    this.#plan = plan;
  }

  /**
   * Whether the OCI runtime starts inside the cgroups that the launcher joined. runc can't be told to leave them alone: it
   * makes its own, at the path that it is given.
   */
  get joinsCgroups(): boolean {
    return this.#plan.binary.kind !== "runc";
  }

  get logFile(): string {
    return join(this.#plan.bundle, "log");
  }

  get pidFile(): string {
    return join(this.#plan.bundle, "pid");
  }

  get run(): readonly string[] {
    return [
      ...this.#prefix,
      "run",
      // Its cgroup has to outlive the container: the kernel's count of memory kills is in it.
      ...(this.#plan.binary.kind === "runc" ? ["--keep"] : []),
      "--pid-file",
      this.pidFile,
      "--bundle",
      this.#plan.bundle,
      this.#plan.containerId,
    ];
  }

  /** Signals all processes of the container; `undefined` where that is the kernel's affair: gVisor's are none of the host's. */
  get signal(): ((signal: "TERM" | "KILL") => Promise<void>) | undefined {
    if (this.#plan.binary.kind !== "runsc") return undefined;
    return async (signal) => {
      // It may have ended meanwhile; if not, whatever is left is killed by its cgroup.
      await outputOf([...this.#prefix, "kill", "--all", this.#plan.containerId, signal]).catch(() => {});
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
