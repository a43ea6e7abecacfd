import type { Abortable, Collected, Runtime, RuntimeDescription, Sandbox, SandboxPlan } from "../contract.ts";
import { EgressEngines, type EgressOptions } from "../egress/index.ts";
import { refusedByPolicy, runtimeFailed } from "../errors.ts";
import { collectSandboxes } from "./collect-sandboxes.ts";
import { describeEngine } from "./describe-engine.ts";
import { DockerSandbox } from "./docker-sandbox.ts";
import { EngineClient } from "./engine-client.ts";
import { asRuntimeFailure } from "./engine-failure.ts";
import { InfoReply } from "./engine-replies.ts";
import { findsHostFile } from "./probe-host-file.ts";
import { isInReach, openNetwork } from "./sandbox-network.ts";

export interface DockerRuntimeOptions {
  /** `unix:///path` or `tcp://host:port`. Default: `unix:///var/run/docker.sock`. */
  readonly host?: string;
  /** Whether the image name `host` may be used: the host's own tool chain, read-only. */
  readonly allowHostImage: boolean;
  /** How egress policies are enforced: addresses, name servers, what stays closed. */
  readonly egress?: EgressOptions;
}

export const defaultDockerHost = "unix:///var/run/docker.sock";

/**
 * The runtime on a Docker engine, 20.10 or later. Connects when first asked for something.
 * @throws {AirlockError} when `host` is no address.
 */
export function createDockerRuntime({
  host = defaultDockerHost,
  allowHostImage,
  egress = {},
}: DockerRuntimeOptions): Runtime {
  const engine = new EngineClient({ host });
  const engines = new EgressEngines(egress);
  const inspect = async (signal: AbortSignal) => ({
    version: await engine.version(),
    info: await engine.json(InfoReply, { path: "/info", signal }),
  });
  let wasInReach = false;
  const inspectEgress = async (signal: AbortSignal) => {
    const capabilities = await engines.capabilities();
    wasInReach ||= capabilities.public && (await isInReach(engine, engines, signal));
    return { capabilities, inReach: wasInReach };
  };
  return {
    name: "docker",

    describe({ signal }): Promise<RuntimeDescription> {
      return asRuntimeFailure(async () => {
        const { version, info } = await inspect(signal);
        return describeEngine(version, info, await inspectEgress(signal));
      });
    },

    async createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox> {
      options.signal.throwIfAborted();
      const { version, info } = await asRuntimeFailure(() => inspect(options.signal));
      if (info.OSType !== "linux") throw runtimeFailed(`the Docker engine runs ${info.OSType} containers, not linux`);
      // A job without a network does not wait for answers about networks.
      const egress =
        plan.egress.kind === "none" ? undefined : await asRuntimeFailure(() => inspectEgress(options.signal));
      refuseUnenforceable(plan, describeEngine(version, info, egress));
      const network = await asRuntimeFailure(() => openNetwork(engine, plan, engines, options));
      return new DockerSandbox(engine, { plan, allowHostImage, machineCpus: info.NCPU, network });
    },

    collect(options): Promise<Collected> {
      return asRuntimeFailure(() => collectSandboxes(engine, engines.for(options.owner), options));
    },

    workspaceOwner: null,

    findsHostFile(file, options): Promise<boolean> {
      return asRuntimeFailure(() => findsHostFile(engine, file, options));
    },

    async close(): Promise<void> {
      await engines.close();
      await engine.close();
    },
  };
}

function refuseUnenforceable({ egress }: SandboxPlan, { enforces, notes }: RuntimeDescription): void {
  const canEnforce = { none: true, public: enforces.egressPublic, allow: enforces.egressAllow };
  if (!canEnforce[egress.kind]) {
    throw refusedByPolicy(
      `the egress policy "${egress.kind}" can't be enforced here`,
      notes.find((note) => note.includes("gress")) ?? 'Run the job with the egress policy "none".',
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
