import type { Abortable, SandboxPlan } from "../contract/index.ts";
import type { EgressEngines } from "../egress/index.ts";

/** What the steps of one sandbox see of the network. */
export interface SandboxNetwork extends AsyncDisposable {
  /**
   * Namespace that every step joins. `null`: each step gets a new one from the OCI runtime, with nothing in it but its
   * own loopback; it dies with the step, so nothing can be left behind.
   */
  readonly namespacePath: string | null;
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Tells what the policy denied until now. */
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
