import { join } from "node:path";
import { engines, temporaryDirectory } from "@airlock/test-kit";
import { describeWorkloads } from "../testing/workloads/describe-workloads.ts";
import { createOciRuntime } from "./index.ts";

describeWorkloads({
  name: "oci",
  engines: ["oci", "network", "debian"],
  async prepare({ imagesDirectory }) {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory("airlock-oci-workloads-")).path;
    const runtimePath = engines().oci?.runtimePath ?? "";
    let areLoaded = false;
    const owned = cleanup.move();
    return {
      async createRuntime(hardening, egress) {
        const stateDir = join(directory, "state");
        const runtime = await createOciRuntime({ stateDir, runtimePath, allowHostImage: false, hardening, egress });
        if (!areLoaded) await runtime.loadImages(imagesDirectory, { signal: AbortSignal.timeout(120_000) });
        areLoaded = true;
        return runtime;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
