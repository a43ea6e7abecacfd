import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import type { Abortable, Runtime } from "./contract/index.ts";
import { EngineClient } from "./docker/engine-client.ts";
import { createDockerRuntime, type DockerRuntimeOptions, defaultDockerHost } from "./docker/index.ts";
import { findOnSystemPath } from "./host/find-program.ts";
import type { ClusterOptions } from "./kubernetes/index.ts";
import { type OpenMicrovmOptions, openMicrovmRuntime } from "./microvm/index.ts";
import { createOciRuntime, type OciRuntimeOptions } from "./oci/index.ts";

export interface RuntimeChoice {
  /** `auto` prefers a Docker engine that answers, then an OCI runtime that is installed. */
  readonly kind: "docker" | "oci" | "microvm" | "kubernetes" | "auto";
  readonly docker: DockerRuntimeOptions;
  readonly oci: OciRuntimeOptions;
  readonly microvm: OpenMicrovmOptions;
  /** Required for `kubernetes`. */
  readonly kubernetes?: ClusterOptions;
}

const hintInPods =
  "This is a pod: set EXECUTOR_KUBERNETES_AGENT_IMAGE to run jobs in pods, or DOCKER_HOST to the engine beside this container.";
const pingTimeoutMs = 2_000;

/**
 * Makes the runtime that the configuration asks for.
 * @throws {AirlockError} whose hint is the one command to type, when `auto` finds none.
 */
export async function selectRuntime(choice: RuntimeChoice, { signal }: Abortable): Promise<Runtime> {
  const { kind, docker, oci, microvm, kubernetes } = choice;
  if (kind === "docker") return createDockerRuntime(docker);
  if (kind === "oci") return createOciRuntime(oci);
  if (kind === "microvm") return openMicrovmRuntime(microvm);
  if (kind === "kubernetes") {
    if (kubernetes === undefined) throw new Error("the choice has no settings for Kubernetes");
    // The client library takes 90 MB of memory, which other runtimes don't pay.
    const { openKubernetesRuntime } = await import("./kubernetes/index.ts");
    return openKubernetesRuntime(kubernetes);
  }
  if (await answers(docker.host ?? defaultDockerHost, signal)) return createDockerRuntime(docker);
  signal.throwIfAborted();
  if (!(await isInstalled(oci.runtimePath))) {
    throw new AirlockError("no sandbox runtime: no Docker engine responds, and neither crun nor runc is installed", {
      code: "no-runtime",
      hint: process.env.KUBERNETES_SERVICE_HOST ? hintInPods : "apt-get install -y crun",
    });
  }
  return createOciRuntime(oci);
}

async function isInstalled(runtimePath: string | undefined): Promise<boolean> {
  if (runtimePath === undefined) return (await findOnSystemPath(["crun", "runc"])) !== undefined;
  if (!runtimePath.startsWith("/")) return (await findOnSystemPath([runtimePath])) !== undefined;
  return access(runtimePath, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function answers(host: string, signal: AbortSignal): Promise<boolean> {
  const engine = new EngineClient({ host });
  try {
    return await engine.ping(AbortSignal.any([signal, AbortSignal.timeout(pingTimeoutMs)]));
  } finally {
    await engine.close();
  }
}
