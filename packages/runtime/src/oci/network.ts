import { closeSync, openSync } from "node:fs";
import { type Abortable, type NetworkTraffic, noTraffic, refuseServices, type SandboxPlan } from "../contract/index.ts";
import type { EgressEngines } from "../egress/index.ts";
import type { NetworkCalls } from "../host/network-calls.ts";
import { ServiceListeners } from "../services/service-listeners.ts";

/** The network of one sandbox's steps. */
export interface SandboxNetwork extends AsyncDisposable {
  /**
   * Network namespace that every step joins. `null`: the OCI runtime creates a new one for each step, with only a
   * loopback interface. It ends with the step, so nothing can be left behind.
   */
  readonly namespacePath: string | null;
  /** Whether only this process can open the path: it is unknown in the step's own `/proc`. */
  readonly isHeldHere: boolean;
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Reports what the policy denied so far. */
  reportDenied(): Promise<void>;
  /** What passed so far. `undefined`: this process can't see the interface. */
  traffic(): NetworkTraffic | undefined;
}

/** How to listen in sandboxes, or why this host can't. */
export type ServiceCalls = NetworkCalls | { readonly problem: string };

/**
 * @throws {AirlockError} reason `policy` when the egress policy can't be enforced, or when there are services and this
 * host can't offer them.
 */
export async function openNetwork(
  plan: SandboxPlan,
  { engines, calls }: { readonly engines: EgressEngines; readonly calls: ServiceCalls },
  { signal }: Abortable,
): Promise<SandboxNetwork> {
  const { services = [] } = plan;
  refuseServices(services, "problem" in calls ? calls.problem : null);
  const network = await openEgress(plan, engines, { signal });
  if (services.length === 0 || "problem" in calls) return { ...network, isHeldHere: false };
  await using undo = new AsyncDisposableStack();
  undo.use(network);
  const held = undo.use(new DisposableStack());
  const { namespacePath } = network;
  const descriptor = namespacePath === null ? calls.createLoopback() : openSync(namespacePath, "r");
  held.defer(() => closeSync(descriptor));
  const listeners = await ServiceListeners.open(calls, descriptor, services);
  undo.move();
  return {
    ...network,
    // No name leads to the new namespace, so it can't outlive this process and the steps.
    namespacePath: namespacePath ?? `/proc/${process.pid}/fd/${descriptor}`,
    isHeldHere: namespacePath === null,
    reportDenied: () => network.reportDenied(),
    traffic: () => network.traffic(),
    [Symbol.asyncDispose]: async () => {
      await listeners[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
      held.dispose();
    },
  };
}

type EgressNetwork = Omit<SandboxNetwork, "isHeldHere">;

async function openEgress(
  { id, owner, egress, onEgressDenied }: SandboxPlan,
  engines: EgressEngines,
  { signal }: Abortable,
): Promise<EgressNetwork> {
  if (egress.kind === "none") return unconnected;
  return engines.for(owner).attachNamespace({
    sandboxId: id,
    policy: egress,
    onDenied: (denial) => onEgressDenied?.(denial),
    signal,
  });
}

const unconnected: EgressNetwork = {
  namespacePath: null,
  resolvConf: "",
  reportDenied: async () => {},
  traffic: () => noTraffic,
  [Symbol.asyncDispose]: async () => {},
};
