import { describeRuntime, type RuntimeUnderTest, workspacesOfTests } from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { createDockerRuntime } from "./docker-runtime.ts";
import { loadContractImages } from "./testing/contract-images.ts";

const workspaces = await workspacesOfTests();

describeRuntime("docker, with root of containers remapped", ["docker"], prepare);

/** Starts a separate engine, because user remapping is a setting of the whole engine. */
async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const own = cleanup.use(await startEngines(["docker", "registry"], { docker: { remapUsers: true } }));
  const { docker, registry, missing } = own.engines;
  if (!docker || !registry) throw new Error(missing.docker ?? missing.registry);
  const provided = await loadContractImages(docker.socketPath, registry.address);
  const runtime = createDockerRuntime({ host: `unix://${docker.socketPath}`, allowHostImage, workspaces });
  cleanup.defer(() => runtime.close());
  const owned = cleanup.move();
  return { runtime, owner: `remapped-${process.pid}`, ...provided, dispose: () => owned.disposeAsync() };
}
