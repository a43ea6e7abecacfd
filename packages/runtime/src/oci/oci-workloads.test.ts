import { join } from "node:path";
import { engines, temporaryDirectory } from "@airlock/test-kit";
import type { EgressOptions } from "../egress/index.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { describeWorkloads } from "../testing/workloads/suite/describe-workloads.ts";
import { createOciRuntime } from "./index.ts";

describeWorkloads({
  name: "oci",
  engines: ["oci", "network", "debian"],
  async prepare({ imagesDirectory }) {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory("airlock-oci-workloads-")).path;
    const { runtimePath = "" } = engines().oci ?? {};
    const createRuntime = (hardening: Partial<Hardening>, egress: EgressOptions) =>
      createOciRuntime({ stateDir: join(directory, "state"), runtimePath, allowHostImage: false, hardening, egress });
    const loader = await createRuntime({}, {});
    const signal = AbortSignal.timeout(120_000);
    await loader.loadImages(imagesDirectory, { signal });
    await loader.close();
    const owned = cleanup.move();
    return { createRuntime, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  },
});
