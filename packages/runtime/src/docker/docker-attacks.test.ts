import { loadImage, temporaryDirectory } from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { hostileImages } from "../testing/attacks/hostile-images.ts";
import { describeAttacks } from "../testing/attacks/suite/describe-attacks.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

describeAttacks({
  name: "docker",
  engines: ["docker", "network"],
  async prepare() {
    // A separate engine and network, because other suites connect their own simulated internet.
    await using cleanup = new AsyncDisposableStack();
    const { docker, missing } = cleanup.use(await startEngines(["docker"])).engines;
    if (!docker) throw new Error(missing.docker);
    const { socketPath, networkNamespace } = docker;
    const workspaces = { dir: cleanup.use(await temporaryDirectory("airlock-docker-attacks-")).path };
    const owned = cleanup.move();
    return {
      workspacesDir: workspaces.dir,
      networkNamespace,
      createRuntime: async (hardening, egress) =>
        createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage: false, workspaces, hardening, egress }),
      async loadImage(_, name) {
        const reference = `airlock-test-attack-${name ?? "attacker"}:1`;
        await loadImage(await (name ? hostileImages[name] : attackerImage)(), socketPath, reference);
        return reference;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
