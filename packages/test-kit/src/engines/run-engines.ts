import { errorMessage } from "@airlock/job";
import { type EngineNetwork, startEngineNetwork } from "../host/engine-network.ts";
import { findExecutable } from "../host/find-executable.ts";
import { findMicrovmTools } from "../host/microvm-tools.ts";
import { findNetworkTools } from "../host/network-tools.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { startDebianEngine } from "./debian-engine.ts";
import { type DockerEngineOptions, startDockerEngine } from "./docker-engine.ts";
import type { EngineName, Engines } from "./engines-contract.ts";
import { startKubernetesEngine } from "./kubernetes-engine.ts";
import { startPostgresEngine } from "./postgres-engine.ts";
import { startRegistryEngine } from "./registry-engine.ts";
import { startS3Engine } from "./s3-engine.ts";

export interface RunningEngines extends AsyncDisposable {
  readonly engines: Engines;
  /** A directory that the suites of one run share. Removed at the end of the run. */
  readonly directory: string;
}

/** Starts the named engines in parallel. An engine that fails is `null`, and `missing` has the reason. */
export async function runEngines(
  names: ReadonlySet<EngineName>,
  options: { readonly docker?: DockerEngineOptions } = {},
): Promise<RunningEngines> {
  await using cleanup = new AsyncDisposableStack();
  const { path: directory } = cleanup.use(await temporaryDirectory("airlock-run-"));
  const missing: Record<string, string> = {};

  async function engine<E extends AsyncDisposable>(name: EngineName, start: () => Promise<E>): Promise<E | null> {
    if (!names.has(name)) {
      missing[name] = "not among AIRLOCK_TEST_ENGINES";
      return null;
    }
    try {
      return cleanup.use(await start());
    } catch (error) {
      missing[name] = errorMessage(error);
      return null;
    }
  }
  function executable(name: EngineName, packageName: string, ...programs: readonly string[]): string | null {
    const path = names.has(name) ? findExecutable(...programs) : undefined;
    if (!path) {
      missing[name] = names.has(name)
        ? `not installed: apt-get install -y ${packageName}`
        : "not among AIRLOCK_TEST_ENGINES";
    }
    return path ?? null;
  }

  const network = once(async (): Promise<EngineNetwork> => {
    if (process.getuid?.() !== 0) throw new Error("needs root");
    return cleanup.use(await startEngineNetwork(directory));
  });
  const wantsDocker = names.has("docker") && findExecutable("dockerd") !== undefined;
  // Host and Docker daemon must use the same address for the registry. So it listens on the host end of the veth pair
  // if there is one.
  const registryHost = async () =>
    wantsDocker
      ? await network().then(
          ({ hostAddress }) => hostAddress,
          () => "127.0.0.1",
        )
      : "127.0.0.1";

  const [docker, registry, postgres, s3, debian, kubernetes] = await Promise.all([
    engine("docker", async () => startDockerEngine(await network(), options.docker)),
    engine("registry", async () => startRegistryEngine(await registryHost())),
    engine("postgres", startPostgresEngine),
    engine("s3", startS3Engine),
    engine("debian", startDebianEngine),
    engine("kubernetes", startKubernetesEngine),
  ]);
  const runtimePath = executable("oci", "crun", "crun", "runc");
  // The runtime's suites rely on limits and overlays, which need root. They test themselves what works without root.
  const isRoot = process.getuid?.() === 0;
  if (runtimePath !== null && !isRoot) missing.oci = "needs root";
  const microvm = await engine("microvm", findMicrovmTools);
  const networkTools = await engine("network", findNetworkTools);
  const executablePath = executable("chromium", "chromium", "chromium", "chromium-browser", "google-chrome");

  const owned = cleanup.move();
  return {
    engines: {
      docker: docker && { socketPath: docker.socketPath, networkNamespace: docker.networkNamespace },
      registry: registry && { address: registry.address },
      postgres: postgres && { url: postgres.url },
      s3: s3 && {
        endpoint: s3.endpoint,
        region: s3.region,
        accessKeyId: s3.accessKeyId,
        secretAccessKey: s3.secretAccessKey,
      },
      network: networkTools && { nftPath: networkTools.nftPath },
      debian: debian && { directory: debian.directory },
      oci: runtimePath === null || !isRoot ? null : { runtimePath },
      microvm: microvm && { qemuPath: microvm.qemuPath },
      kubernetes: kubernetes && { directory: kubernetes.directory },
      chromium: executablePath === null ? null : { executablePath },
      missing,
    },
    directory,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
