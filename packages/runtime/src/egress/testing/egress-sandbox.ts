import type { EgressPolicy } from "@airlock/job";
import { openWorkplace } from "@airlock/test-kit";
import type { EgressDenial, Runtime, SandboxLimits, SandboxService } from "../../contract/index.ts";

/** A sandbox that runs scripts in sequence under a policy, and records the reported denials. */
export interface EgressSandbox extends AsyncDisposable {
  readonly denials: readonly EgressDenial[];
  /** Resolves to the script's stdout and stderr, whatever its exit code. */
  run(script: string, image?: string): Promise<string>;
}

export interface EgressSandboxOptions {
  readonly id: string;
  readonly owner: string;
  readonly limits: SandboxLimits;
  readonly image: string;
  readonly egress: EgressPolicy;
  /** Default: none. */
  readonly services?: readonly SandboxService[];
}

export async function openEgressSandbox(runtime: Runtime, options: EgressSandboxOptions): Promise<EgressSandbox> {
  const denials: EgressDenial[] = [];
  const place = await openWorkplace(runtime, {
    ...options,
    onEgressDenied: (denial) => void denials.push(denial),
  });
  return {
    denials,
    async run(script, image = options.image) {
      const output: Buffer[] = [];
      await place.start(script, { image, output: (_, bytes) => void output.push(bytes) });
      return Buffer.concat(output).toString();
    },
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

/** The address, name or limit of a denial. */
export function subjectOf(denial: EgressDenial): string {
  switch (denial.kind) {
    case "connection":
      return denial.address;
    case "name":
      return denial.name;
    case "limit":
      return denial.limit;
  }
}
