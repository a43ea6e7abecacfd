import type { Abortable, SandboxPlan } from "../contract/index.ts";
import type { EgressEngines } from "../egress/index.ts";

/** The network of one sandbox's steps. */
export interface SandboxNetwork extends AsyncDisposable {
  /**
   * Network namespace that every step joins. `null`: the OCI runtime creates a new one for each step, with only a
   * loopback interface. It ends with the step, so nothing can be left behind.
   */
  readonly namespacePath: string | null;
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Reports what the policy denied so far. */
  reportDenied(): Promise<void>;
}

/** @throws {AirlockError} reason `policy` when the egress policy can't be enforced. */
export async function openNetwork(
  { id, owner, egress, onEgressDenied }: SandboxPlan,
  engines: EgressEngines,
  { signal }: Abortable,
): Promise<SandboxNetwork> {
  if (egress.kind === "none") return unconnected;
  return engines.for(owner).attachNamespace({
    sandboxId: id,
    policy: egress,
    onDenied: (denial) => onEgressDenied?.(denial),
    signal,
  });
}

const unconnected: SandboxNetwork = {
  namespacePath: null,
  resolvConf: "",
  reportDenied: async () => {},
  [Symbol.asyncDispose]: async () => {},
};
