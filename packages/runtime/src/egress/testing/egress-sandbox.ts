import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EgressPolicy } from "@airlock/job";
import type { EgressDenial } from "../../contract/egress-denial.ts";
import type { Runtime, SandboxLimits } from "../../contract/runtime.ts";

/** A sandbox that runs one script after the other under a policy, and keeps what it was told of denials. */
export interface EgressSandbox extends AsyncDisposable {
  readonly denials: readonly EgressDenial[];
  /** Answers both streams of the script, whatever its exit code. */
  run(script: string, image?: string): Promise<string>;
}

export interface EgressSandboxOptions {
  readonly id: string;
  readonly owner: string;
  readonly limits: SandboxLimits;
  /** Where its workspace and scripts get a directory of their own. */
  readonly directory: string;
  readonly image: string;
  readonly egress: EgressPolicy;
}

export async function openEgressSandbox(runtime: Runtime, options: EgressSandboxOptions): Promise<EgressSandbox> {
  const { id, owner, limits, directory, egress } = options;
  const { signal } = new AbortController();
  const [workspaceDir, scriptsDir] = [join(directory, id, "workspace"), join(directory, id, "scripts")];
  for (const path of [workspaceDir, scriptsDir]) await mkdir(path, { recursive: true });
  const denials: EgressDenial[] = [];
  const onEgressDenied = (denial: EgressDenial) => void denials.push(denial);
  const sandbox = await runtime.createSandbox(
    { id, owner, workspaceDir, scriptsDir, limits, egress, onEgressDenied },
    { signal },
  );
  return {
    denials,
    async run(script, image = options.image) {
      await writeFile(join(scriptsDir, "step"), script);
      const output: Buffer[] = [];
      await sandbox.runStep(
        { key: "step", image, script: "/airlock/step", workingDirectory: "/data", env: {} },
        { signal, output: (_, bytes) => void output.push(bytes) },
      );
      return Buffer.concat(output).toString();
    },
    [Symbol.asyncDispose]: () => sandbox[Symbol.asyncDispose](),
  };
}
