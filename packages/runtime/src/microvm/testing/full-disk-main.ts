// Runs machines whose state directory is on a small disk, for a test that made this disk. Prints JSON about what happened.
// Arguments: the state directory, the guest's directory, QEMU's path, an archive with an image, the image's name.
import { randomBytes } from "node:crypto";
import { errorMessage } from "@airlock/job";
import type { SandboxPlan } from "../../contract/index.ts";
import { openMicrovmRuntime } from "../open-microvm-runtime.ts";

const [stateDir = "", guestDir = "", qemuPath = "", archive = "", image = ""] = process.argv.slice(2);
const signal = AbortSignal.timeout(100_000);
const { promise: problem, resolve: onProblem } = Promise.withResolvers<unknown>();
const runtime = await openMicrovmRuntime({ stateDir, guestDir, qemuPath, onProblem });
await runtime.loadImages(archive, { signal });
const plan = (): SandboxPlan => ({
  id: `full-${randomBytes(4).toString("hex")}`,
  owner: `full-disk-${process.pid}`,
  workspace: { checkout: null, files: [], readOnlyFiles: [] },
  limits: { cpus: 1, memoryBytes: 128 * 2 ** 20, pids: 64, diskBytes: 2 ** 30 },
  egress: { kind: "none" },
});
const sandbox = await runtime.createSandbox(plan(), { signal });
let output = "";
const status = await sandbox.runStep(
  {
    key: "fill",
    image,
    files: [{ path: "script", content: "dd if=/dev/zero of=big bs=1M count=64 conv=fsync\n", executable: true }],
    script: "/airlock/script",
    workingDirectory: "/data",
    env: {},
  },
  {
    signal,
    output: (_stream, bytes) => {
      output += bytes.toString();
    },
  },
);
const second = await runtime.createSandbox(plan(), { signal }).then(
  () => null,
  (error: unknown) => error,
);
const snapshot = await problem;
await sandbox[Symbol.asyncDispose]();
await runtime.close();
const told = (error: unknown) => [
  errorMessage(error),
  error instanceof Error && "hint" in error ? error.hint : null,
];
console.log(JSON.stringify({ status, output, second: told(second), snapshot: told(snapshot) }));
