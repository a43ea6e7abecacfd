import { randomBytes } from "node:crypto";
import { formatBytes } from "@airlock/job";
import type { Runtime, SandboxPlan } from "@airlock/runtime";
import { hostSecurityFindings, takeProbeOwner } from "@airlock/runtime/microvm";
import type { Check } from "./check.ts";

/** An emulated boot on a busy machine takes half a minute. */
const bootMs = 120_000;
const memoryBytes = 256 * 2 ** 20;
const probe = { path: "probe", content: Buffer.from("airlock"), modifiedAt: undefined };

/**
 * Boots a virtual machine as for a job, and passes a file through its agent. Needs no image. Notes what could let
 * virtual machines of this host learn about each other. The caller closes the runtime.
 */
export function checkVirtualMachine(openRuntime: (signal: AbortSignal) => Promise<Runtime>): Check {
  return {
    name: "virtual machine",
    needs: "runtime",
    timeoutMs: bootMs,
    run: async ({ note, signal }) => {
      const runtime = await openRuntime(signal);
      const { version } = await runtime.describe({ signal });
      for (const finding of await hostSecurityFindings()) note(finding);
      using held = await takeProbeOwner();
      const { owner } = held;
      // An earlier process that had this owner may have been killed.
      await runtime.collect({ owner, keep: new Set(), signal });
      const startedAt = performance.now();
      const plan: SandboxPlan = {
        id: `validate-${randomBytes(4).toString("hex")}`,
        owner,
        workspace: { checkout: null, files: [probe], readOnlyFiles: [] },
        limits: { cpus: 1, memoryBytes, pids: 64, diskBytes: 64 * 2 ** 20 },
        egress: { kind: "none" },
      };
      await using sandbox = await runtime.createSandbox(plan, { signal });
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      const answer = await sandbox.readFile(probe.path, { maximumBytes: 100, signal });
      if (!answer?.equals(probe.content)) throw new Error("the guest returned another file than it was given");
      return `${version}: booted with ${formatBytes(memoryBytes)} in ${seconds} s, its agent keeps files`;
    },
  };
}
