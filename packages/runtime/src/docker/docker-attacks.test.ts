import { engines, loadImage, temporaryDirectory } from "@airlock/test-kit";
import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { hostileImages } from "../testing/attacks/hostile-images.ts";
import { describeAttacks } from "../testing/attacks/suite/describe-attacks.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

describeAttacks({
  name: "docker",
  engines: ["docker", "network"],
  networkNamespace: () => engines().docker?.networkNamespace,
  async prepare() {
    const { socketPath = "" } = engines().docker ?? {};
    const directory = await temporaryDirectory("airlock-docker-attacks-");
    const workspaces = { dir: directory.path };
    return {
      workspacesDir: workspaces.dir,
      createRuntime: async (hardening, egress) =>
        createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage: false, workspaces, hardening, egress }),
      async loadImage(_, name) {
        const reference = `airlock-test-attack-${name ?? "attacker"}:1`;
        await loadImage(await (name ? hostileImages[name] : attackerImage)(), socketPath, reference);
        return reference;
      },
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  },
});
