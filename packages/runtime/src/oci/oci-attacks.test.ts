import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { hostileImages } from "../testing/attacks/hostile-images.ts";
import { describeAttacks } from "../testing/attacks/suite/describe-attacks.ts";
import { createOciRuntime, type OciRuntime } from "./index.ts";

const never = new AbortController().signal;

describeAttacks({
  name: "oci",
  engines: ["oci", "network"],
  async prepare() {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory("airlock-oci-attacks-")).path;
    const owned = cleanup.move();
    return {
      workspacesDir: join(directory, "state", "workspaces"),
      createRuntime: (hardening, egress) =>
        createOciRuntime({ stateDir: join(directory, "state"), allowHostImage: false, hardening, egress }),
      async loadImage(runtime, name) {
        const reference = `attacks/${name ?? "attacker"}:1`;
        const archive = join(directory, "image.tar");
        const image = await (name ? hostileImages[name] : attackerImage)();
        await writeFile(archive, await dockerArchive(image, reference));
        await (runtime as OciRuntime).loadImages(archive, { signal: never });
        return reference;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
