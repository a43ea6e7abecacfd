import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { attackerImage } from "../attacks/attacker-image.ts";
import { describeAttacks } from "../attacks/describe-attacks.ts";
import { createOciRuntime } from "./index.ts";

describeAttacks({
  name: "oci",
  engines: ["oci"],
  async prepare() {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory("airlock-oci-attacks-")).path;
    const archive = join(directory, "image.tar");
    const reference = "attacks/attacker:1";
    await writeFile(archive, await dockerArchive(await attackerImage(), reference));
    const owned = cleanup.move();
    return {
      async createRuntime(hardening) {
        const runtime = await createOciRuntime({
          stateDir: join(directory, "state"),
          allowHostImage: false,
          ...{ hardening },
        });
        await runtime.loadImages(archive, { signal: new AbortController().signal });
        return runtime;
      },
      image: async () => reference,
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
