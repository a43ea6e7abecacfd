import type { EgressPolicy } from "@airlock/job";
import { refusedByPolicy } from "../errors.ts";

/** What the steps of one sandbox see of the network. */
export interface SandboxNetwork {
  /**
   * Namespace that every step joins. `null`: each step gets a new one from the OCI runtime, with nothing in it but its
   * own loopback; it dies with the step, so nothing can be left behind.
   */
  readonly namespacePath: string | null;
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
}

/** @throws {AirlockError} reason `policy` when the egress policy can't be enforced. */
export function planNetwork(egress: EgressPolicy): SandboxNetwork {
  switch (egress.kind) {
    case "none":
      return { namespacePath: null, resolvConf: "" };
    case "public":
    case "allow":
      throw refusedByPolicy(
        `the oci runtime can't enforce the egress policy "${egress.kind}"`,
        'Use the egress policy "none", or an executor with the docker runtime.',
      );
  }
}
