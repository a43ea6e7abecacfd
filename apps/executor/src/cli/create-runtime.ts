import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { errorMessage } from "@airlock/job";
import type { ImageOptions, Runtime } from "@airlock/runtime";
import type { ClusterOptions } from "@airlock/runtime/kubernetes";
import { type MicrovmRuntime, type OpenMicrovmOptions, openMicrovmRuntime } from "@airlock/runtime/microvm";
import type { OciRuntimeOptions } from "@airlock/runtime/oci";
import { selectRuntime } from "@airlock/runtime/select";
import type { Config } from "../config/options.ts";
import { DockerConfigCredentials } from "../registry-credentials/docker-config-credentials.ts";
import { readStartupScript } from "./read-startup-script.ts";
import { requireCertificatesDirectory } from "./require-certificates-directory.ts";
import { guestDir, runtimeDir } from "./runtime-dir.ts";

export async function createRuntime(
  config: Config,
  stateDir: string,
  { signal, onProblem }: { readonly signal: AbortSignal; readonly onProblem: (problem: string) => void },
): Promise<Runtime> {
  await requireCertificatesDirectory(config);
  const { kind, dockerHost, dockerRuntime, allowHostImage, hardening, addHostGateway, unenforcedLimits } =
    config.runtime;
  const { pool } = config.runtime.egress;
  const egress = {
    ...destinations(config),
    ...(pool === null ? {} : { pool }),
    onProblem,
  };
  const workspaces = {
    dir: join(config.dataDir, "workspaces"),
    mounts: config.workspace.mounts,
    keep: config.workspace.keep,
    onProblem,
  };
  const docker = {
    workspaces,
    ...(dockerHost === null ? {} : { host: dockerHost }),
    ...(dockerRuntime === null ? {} : { runtime: dockerRuntime }),
    allowHostImage,
    egress,
    hardening,
    addHostGateway,
    unenforcedLimits,
    stateDir,
    images: imageOptions(config),
  };
  const oci = { ...ociOptions(config, stateDir), egress, workspaces };
  const microvm = {
    ...(await microvmOptions(config, stateDir)),
    egress,
    bandwidth: config.runtime.microvm.bandwidth,
    signal,
    onProblem: (problem: unknown) => onProblem(`a virtual machine could not be prepared: ${errorMessage(problem)}`),
  };
  return selectRuntime({ kind, docker, oci, microvm, kubernetes: kubernetesOptions(config) }, { signal });
}

export function kubernetesOptions(config: Config): ClusterOptions {
  const { runtime } = config;
  const { kubeconfig, namespace, schedulingMs, startingMs, openNetworks, pods } = runtime.kubernetes;
  return {
    ...(kubeconfig === null ? {} : { kubeconfig }),
    namespace,
    schedulingMs,
    startingMs,
    pods,
    egress: { ...destinations(config), openNetworks },
    seccomp: runtime.hardening.seccomp,
    images: runtime.images.policy,
    unenforcedLimits: runtime.unenforcedLimits,
  };
}

/** What stays closed to every job, and which name servers answer. */
function destinations({ instance, runtime }: Config) {
  const { closed, nameServers } = runtime.egress;
  return {
    closed,
    closedHosts: [instance.url.hostname.replace(/^\[|\]$/g, "")],
    ...(nameServers === null ? {} : { upstreams: nameServers }),
  };
}

/**
 * Options for pulling images. Without credentials in the environment, the executor uses those that its user keeps for
 * Docker.
 */
function imageOptions({ runtime, workspace, proxies }: Config): Partial<ImageOptions> {
  const { policy, mirrors, cacheBytes } = runtime.images;
  const { dockerConfigFile: file } = runtime;
  if (file === null) return { policy, mirrors, cacheBytes };
  const env = { PATH: workspace.path, HOME: homedir(), DOCKER_CONFIG: dirname(file), ...proxies.environment };
  const own = new DockerConfigCredentials({ file, env });
  return { policy, mirrors, cacheBytes, credentials: (registry, options) => own.find(registry, options) };
}

export function ociOptions(config: Config, stateDir: string): OciRuntimeOptions {
  const { allowHostImage, unenforcedLimits, hardening, images, oci } = config.runtime;
  return {
    stateDir,
    images: imageOptions(config),
    registry: { certificatesDirectory: images.certificatesDirectory, proxies: config.proxies },
    allowHostImage,
    unenforcedLimits,
    hardening,
    ...(oci.ids ? { ids: oci.ids } : {}),
    idsPerSandbox: oci.idsPerSandbox,
    ...(oci.program === null ? {} : { runtimePath: oci.program }),
    gvisor: { network: oci.gvisor.network, ...(oci.gvisor.platform === null ? {} : { platform: oci.gvisor.platform }) },
  };
}

/** Opens the runtime of virtual machines, whatever runtime the configuration chooses for jobs. */
export async function openMicrovm(config: Config, onProblem: (problem: unknown) => void): Promise<MicrovmRuntime> {
  await requireCertificatesDirectory(config);
  const chosen: Config = { ...config, runtime: { ...config.runtime, kind: "microvm" } };
  return await openMicrovmRuntime({ ...(await microvmOptions(chosen, runtimeDir(config))), onProblem });
}

/** @throws {AirlockError} code `invalid-configuration` when virtual machines are wanted and the startup script is unusable. */
export async function microvmOptions(config: Config, stateDir: string): Promise<OpenMicrovmOptions> {
  const { hardening, images, oci, microvm, kind } = config.runtime;
  const script = kind === "microvm" && microvm.startupScriptFile;
  return {
    // Its images have other owners than those of the oci runtime.
    stateDir: join(stateDir, "microvm"),
    guestDir: guestDir(config.dataDir),
    images: imageOptions(config),
    registry: { certificatesDirectory: images.certificatesDirectory, proxies: config.proxies },
    hardening,
    ...(oci.ids ? { ids: oci.ids } : {}),
    monitor: {
      monitor: microvm.monitor,
      accelerator: microvm.accelerator,
      ...(microvm.qemu === null ? {} : { qemuPath: microvm.qemu }),
      ...(microvm.firecracker === null ? {} : { firecrackerPath: microvm.firecracker }),
      ...(microvm.jailer === null ? {} : { jailerPath: microvm.jailer }),
    },
    namePrefix: microvm.namePrefix,
    ...(script ? { startupScript: await readStartupScript(script) } : {}),
    ...(config.workspace.keep ? { keepDisksIn: join(config.dataDir, "workspaces") } : {}),
  };
}
