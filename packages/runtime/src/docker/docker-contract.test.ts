import {
  busyboxImage,
  describeRuntime,
  engines,
  loadImage,
  type RuntimeUnderTest,
  shellLessImage,
  workspacesOfTests,
} from "@airlock/test-kit";
import { createDockerRuntime } from "./docker-runtime.ts";

const workspaces = await workspacesOfTests();

describeRuntime("docker", ["docker", "registry"], prepare);

async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  const { docker, registry } = engines();
  const socketPath = docker?.socketPath ?? "";
  const images = {
    shell: "contract-shell:1",
    noShell: "contract-shell-less:1",
    unprivileged: "contract-unprivileged:1",
    unknown: `${registry?.address}/contract/unknown:1`,
  };
  await loadImage(await busyboxImage(), socketPath, images.shell);
  await loadImage(await shellLessImage(), socketPath, images.noShell);
  await loadImage(await busyboxImage({ User: "1000:1000" }), socketPath, images.unprivileged);
  const runtime = createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage, workspaces });
  return { runtime, owner: `contract-${process.pid}`, images, dispose: () => runtime.close() };
}
