// Runs a job or a collection as an executor would, for a test that kills this process. The argument is a KilledOrder.

import { openMicrovmRuntime } from "../open-microvm-runtime.ts";
import type { KilledOrder } from "./killed-order.ts";

const { what, id, owner, image, options } = JSON.parse(process.argv[2] ?? "") as KilledOrder;
const { signal } = new AbortController();
const runtime = await openMicrovmRuntime(options);
if (what === "collect") {
  await runtime.collect({ owner, keep: new Set(), signal });
} else {
  const sandbox = await runtime.createSandbox(
    {
      id,
      owner,
      workspace: { checkout: null, files: [], readOnlyFiles: [] },
      limits: { cpus: 1, memoryBytes: 128 * 2 ** 20, pids: 64, diskBytes: 64 * 2 ** 20 },
      egress: { kind: "public" },
    },
    { signal },
  );
  await sandbox.prepareImage(image, { signal, progress: () => {} });
  await sandbox.runStep(
    {
      key: "step",
      image,
      files: [{ path: "step", content: "echo ready; sleep 600", executable: true }],
      script: "/airlock/step",
      workingDirectory: "/data",
      env: {},
    },
    { signal, output: (_, bytes) => void process.stdout.write(bytes) },
  );
}
