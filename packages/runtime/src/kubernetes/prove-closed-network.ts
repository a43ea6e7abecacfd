import { isIP } from "node:net";
import { pause } from "@airlock/async";
import type { KubeConfig, V1Pod } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import type { CallOptions } from "./call-api.ts";
import type { AgentPlace } from "./connect-agent.ts";
import { askReach, type ReachTarget } from "./reach.ts";

/** What happens to jobs whose pods reach what their policy closes. `allow` is for clusters that enforce no policies. */
export type OpenNetworks = "refuse" | "allow";

/** Network plugins apply policies to a new pod with a delay. */
const enforcedWithinMs = 10_000;
const againMs = 500;
const kubeletPort = 10_250;

interface ProofTarget extends ReachTarget {
  readonly what: string;
}

/**
 * Proves that a pod's policy is enforced on its node: its agent tries to reach addresses that every policy closes. The
 * API server accepts NetworkPolicies also where no network plugin enforces them.
 * @returns A note for the job's log if the network is open and the administrator allows that, else `null`.
 * @throws {AirlockError} reason `runtime` when the network is open, because another executor's cluster may close it.
 */
export async function proveClosedNetwork(
  config: KubeConfig,
  place: AgentPlace,
  pod: V1Pod,
  { openNetworks, ...calls }: CallOptions & { readonly openNetworks: OpenNetworks },
): Promise<string | null> {
  const targets = targetsBeside(pod);
  const until = performance.now() + (openNetworks === "allow" ? 0 : enforcedWithinMs);
  for (;;) {
    const isOpen = await askReach(config, place, targets, calls);
    const reached = ["the API server", ...targets.map(({ what }) => what)].filter((_, index) => isOpen[index]);
    if (reached.length === 0) return null;
    const names = reached.join(" and ");
    if (openNetworks === "allow")
      return `network: open, because the cluster does not enforce the job's egress policy: the pod reaches ${names}.`;
    if (performance.now() > until) {
      throw runtimeFailed(
        `the cluster does not enforce the NetworkPolicy of the job's pod, which reaches ${names}`,
        undefined,
        "Install a network plugin that enforces NetworkPolicies, and remove policies that open the namespace's pods. If the API server has a public address, list it in EXECUTOR_EGRESS_CLOSED.",
      );
    }
    await pause(againMs, calls.signal);
  }
}

/** What no policy opens, beside the API server. */
function targetsBeside({ status }: V1Pod): readonly ProofTarget[] {
  const node = status?.hostIP ?? "";
  return [
    ...(isIP(node) === 0 ? [] : [{ address: node, port: kubeletPort, what: "the kubelet of its node" }]),
    { address: "169.254.169.254", port: 80, what: "the cloud's metadata service" },
  ];
}
