import { describeRuntime, engines, type RuntimeUnderTest, workspacesOfTests } from "@airlock/test-kit";
import { createDockerRuntime } from "./docker-runtime.ts";
import { loadContractImages } from "./testing/contract-images.ts";

const workspaces = await workspacesOfTests();

describeRuntime("docker", ["docker", "registry"], prepare);

async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  const { docker, registry } = engines();
  const socketPath = docker?.socketPath ?? "";
  const provided = await loadContractImages(socketPath, registry?.address ?? "");
  const runtime = createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage, workspaces });
  return { runtime, owner: `contract-${process.pid}`, ...provided, dispose: () => runtime.close() };
}
