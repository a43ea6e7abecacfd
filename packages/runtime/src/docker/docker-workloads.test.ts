import { loadImageDirectory, workspacesOfTests } from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { describeWorkloads } from "../testing/workloads/suite/describe-workloads.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

const workspaces = await workspacesOfTests();

describeWorkloads({
  name: "docker",
  engines: ["docker", "network", "debian"],
  async prepare({ imagesDirectory }) {
    // Use a separate engine and network, because other suites connect the same simulated internet to the shared engine.
    await using cleanup = new AsyncDisposableStack();
    const { docker, missing } = cleanup.use(await startEngines(["docker"])).engines;
    if (!docker) throw new Error(missing.docker);
    await loadImageDirectory(imagesDirectory, docker.socketPath);
    const owned = cleanup.move();
    return {
      networkNamespace: docker.networkNamespace,
      createRuntime: async (hardening, egress) =>
        createDockerRuntime({
          host: `unix://${docker.socketPath}`,
          allowHostImage: false,
          workspaces,
          hardening,
          egress,
        }),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
