// Runs one step, as an executor would, until something kills this program. The argument is a StepOrder as JSON.
import { once } from "node:events";
import { createOciRuntime } from "../../oci/index.ts";
import { selectRuntime } from "../../select-runtime.ts";
import type { StepOrder } from "./step-order.ts";

const { choice, user, image, imageArchive, owner, script } = JSON.parse(process.argv[2] ?? "") as StepOrder;
if (user) {
  process.setgroups?.([]);
  process.setgid?.(user.gid);
  process.setuid?.(user.uid);
}
const { signal } = new AbortController();
if (imageArchive !== null) {
  const store = await createOciRuntime(choice.oci);
  await store.loadImages(imageArchive, { signal });
  await store.close();
}
const runtime = await selectRuntime(choice, { signal });
const sandbox = await runtime.createSandbox(
  {
    id: "killed",
    owner,
    workspace: { checkout: null, files: [], readOnlyFiles: [] },
    limits: { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 },
    egress: { kind: "none" },
  },
  { signal },
);
await sandbox.prepareImage(image, { signal, progress: () => {} });
await sandbox.runStep(
  {
    key: "step",
    image,
    files: [{ path: "step", content: script, executable: true }],
    script: "/airlock/step",
    workingDirectory: "/data",
    env: {},
  },
  {
    signal,
    output: async (_, bytes) => {
      if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
    },
  },
);
