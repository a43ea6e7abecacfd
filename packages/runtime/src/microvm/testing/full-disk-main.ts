// Runs machines whose state directory is on a small disk, for a test that made this disk. Prints JSON about what happened.
// Arguments: the state directory, the guest's directory, QEMU's path.
import { randomBytes } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage, isNoSpace } from "@airlock/job";
import type { SandboxPlan } from "../../contract/index.ts";
import { openMicrovmRuntime } from "../open-microvm-runtime.ts";

const [stateDir = "", guestDir = "", qemuPath = ""] = process.argv.slice(2);
const signal = AbortSignal.timeout(200_000);
const { promise: problem, resolve: onProblem } = Promise.withResolvers<unknown>();
const monitor = { monitor: "qemu", accelerator: "tcg", qemuPath } as const;
const runtime = await openMicrovmRuntime({ stateDir, guestDir, monitor, choice: "installed", onProblem });
const plan = (): SandboxPlan => ({
  id: `full-${randomBytes(4).toString("hex")}`,
  owner: `full-disk-${process.pid}`,
  workspace: { checkout: null, files: [], readOnlyFiles: [] },
  limits: { cpus: 1, memoryBytes: 64 * 2 ** 20, pids: 64, diskBytes: 64 * 2 ** 20 },
  egress: { kind: "none" },
});
const first = await runtime.createSandbox(plan(), { signal });
// The disk has no room for a snapshot.
const snapshot = await problem;
await fill(join(stateDir, "filler"));
const second = await runtime.createSandbox(plan(), { signal }).catch((error: unknown) => error);
await first[Symbol.asyncDispose]();
await runtime.close();
const told = (error: unknown) => [errorMessage(error), error instanceof Error && "hint" in error ? error.hint : null];
console.log(JSON.stringify({ snapshot: told(snapshot), second: told(second) }));

async function fill(path: string): Promise<void> {
  for (let bytes = 2 ** 20; bytes >= 512; ) {
    try {
      await appendFile(path, Buffer.alloc(bytes));
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      bytes /= 2;
    }
  }
}
