import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { type GvisorOptions, gvisorFlags } from "./gvisor.ts";
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
      // The cgroup must outlive the container, because it has the kernel's count of out-of-memory kills.
      ...(this.#plan.binary.kind === "runc" ? ["--keep"] : []),
      "--pid-file",
      this.pidFile,
      "--bundle",
      this.#plan.bundle,
      this.#plan.containerId,
    ];
  }

  /**
   * Signals all processes of the container. `undefined` if the host's kernel can signal them. It can't signal gVisor's.
   */
  get signal(): ((signal: "TERM" | "KILL") => Promise<void>) | undefined {
    if (this.#plan.binary.kind !== "runsc") return undefined;
    return async (signal) => {
      // The container may have ended meanwhile. Otherwise, killing its cgroup ends what is left.
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
