import type { Abortable, Collected, Runtime, RuntimeDescription, Sandbox, SandboxPlan } from "../contract.ts";
import { refusedByPolicy, runtimeFailed } from "../errors.ts";
import { collectSandboxes } from "./collect-sandboxes.ts";
import { describeEngine } from "./describe-engine.ts";
import { DockerSandbox } from "./docker-sandbox.ts";
import { EngineClient } from "./engine-client.ts";
import { asRuntimeFailure } from "./engine-failure.ts";
import { InfoReply } from "./engine-replies.ts";

export interface DockerRuntimeOptions {
  /** `unix:///path` or `tcp://host:port`. Default: `unix:///var/run/docker.sock`. */
  readonly host?: string;
  /** Whether the image name `host` may be used: the host's own tool chain, read-only. */
  readonly allowHostImage: boolean;
}

export const defaultDockerHost = "unix:///var/run/docker.sock";

/**
 * The runtime on a Docker engine, 20.10 or later. Connects when first asked for something.
 * @throws {AirlockError} when `host` is no address.
 */
export function createDockerRuntime({ host = defaultDockerHost, allowHostImage }: DockerRuntimeOptions): Runtime {
  const engine = new EngineClient({ host });
  const describe = async ({ signal }: Abortable) => {
    const [version, info] = [await engine.version(), await engine.json(InfoReply, { path: "/info", signal })];
    return { description: describeEngine(version, info), info };
  };
  return {
    name: "docker",

    async describe(options): Promise<RuntimeDescription> {
      return (await asRuntimeFailure(() => describe(options))).description;
    },

    async createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox> {
      options.signal.throwIfAborted();
      const { description, info } = await asRuntimeFailure(() => describe(options));
      if (info.OSType !== "linux") throw runtimeFailed(`the Docker engine runs ${info.OSType} containers, not linux`);
      refuseUnenforceable(plan, description.enforces);
      return new DockerSandbox(engine, { plan, allowHostImage, machineCpus: info.NCPU });
    },

    collect(options): Promise<Collected> {
      return asRuntimeFailure(() => collectSandboxes(engine, options));
    },

    close: () => engine.close(),
  };
}

function refuseUnenforceable({ egress }: SandboxPlan, enforces: RuntimeDescription["enforces"]): void {
  if (egress.kind !== "none") {
    throw refusedByPolicy(
      `this runtime does not enforce the egress policy "${egress.kind}" yet`,
      'Run the job with the egress policy "none".',
    );
  }
  const missing = (["cpu", "memory", "pids"] as const).filter((limit) => !enforces[limit]);
  if (missing.length > 0) {
    throw refusedByPolicy(
      `the Docker engine can't limit ${missing.join(", ")}`,
      "Enable these cgroup controllers on the engine's machine.",
    );
  }
}
