import {
  busyboxImage,
  describeRuntime,
  loadImage,
  type RuntimeUnderTest,
  shellLessImage,
  workspacesOfTests,
} from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { createDockerRuntime } from "./docker-runtime.ts";

const workspaces = await workspacesOfTests();

describeRuntime("docker, with root of containers remapped", ["docker"], prepare);

/** On an engine of its own: whether users are remapped is a setting of the whole engine. */
async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const own = cleanup.use(await startEngines(["docker", "registry"], { docker: { remapUsers: true } }));
  const { docker, registry, missing } = own.engines;
  if (!docker || !registry) throw new Error(missing.docker ?? missing.registry);
  const images = {
    shell: "contract-shell:1",
    noShell: "contract-shell-less:1",
    unprivileged: "contract-unprivileged:1",
    unknown: `${registry.address}/contract/unknown:1`,
  };
  await loadImage(await busyboxImage(), docker.socketPath, images.shell);
  await loadImage(await shellLessImage(), docker.socketPath, images.noShell);
  await loadImage(await busyboxImage({ User: "1000:1000" }), docker.socketPath, images.unprivileged);
  const runtime = createDockerRuntime({ host: `unix://${docker.socketPath}`, allowHostImage, workspaces });
  cleanup.defer(() => runtime.close());
  const owned = cleanup.move();
  return { runtime, owner: `remapped-${process.pid}`, images, dispose: () => owned.disposeAsync() };
}
