import { engines, loadImage } from "@airlock/test-kit";
import { attackerImage } from "../attacks/attacker-image.ts";
import { describeAttacks } from "../attacks/describe-attacks.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

describeAttacks({
  name: "docker",
  engines: ["docker"],
  async prepare() {
    const { socketPath = "" } = engines().docker ?? {};
    const reference = "airlock-test-attacker:1";
    await loadImage(await attackerImage(), socketPath, reference);
    return {
      createRuntime: async (hardening) =>
        createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage: false, ...{ hardening } }),
      image: async () => reference,
      async [Symbol.asyncDispose]() {},
    };
  },
});
