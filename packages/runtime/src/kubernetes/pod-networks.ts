import { pause } from "@airlock/async";
import { type KubeConfig, NetworkingV1Api, type V1Pod } from "@kubernetes/client-node";
import type { Abortable, SandboxPlan, SandboxService } from "../contract/index.ts";
import { readHostUpstreams } from "../egress/dns/upstream-servers.ts";
import { UpstreamShare } from "../egress/dns/upstream-share.ts";
import type { EgressOptions } from "../egress/egress-engine.ts";
import { type CallOptions, callApi } from "./call-api.ts";
import { ClosedAddresses } from "./closed-addresses.ts";
import { labelOf, ownerLabel, podName, sandboxAnnotation, sandboxLabel } from "./pod-names.ts";
import { deletePolicy, PodNetwork } from "./pod-network.ts";
import { PodResolver } from "./pod-resolver.ts";
import { type OpenNetworks, proveClosedNetwork } from "./prove-closed-network.ts";
import { askReach, type ReachTarget } from "./reach.ts";

export interface PodEgressOptions extends Pick<EgressOptions, "closed" | "closedHosts" | "upstreams" | "lookUp"> {
  /** What happens to jobs whose pods reach what their policy closes. Default: `refuse`. */
  readonly openNetworks?: OpenNetworks;
}

export interface PodNetworksOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly egress: PodEgressOptions;
  readonly calls: (signal: AbortSignal) => CallOptions;
}

/** The network of one sandbox's pod. */
export interface PreparedNetwork {
  /** Creates the NetworkPolicy. Call it before the pod is created. */
  readonly create: (signal: AbortSignal) => Promise<void>;
  readonly own: (pod: V1Pod, signal: AbortSignal) => Promise<void>;
  /** As {@link proveClosedNetwork}. */
  readonly prove: (pod: V1Pod, signal: AbortSignal) => Promise<string | null>;
  /** What the pod needs beside the services of its job. */
  readonly services: readonly SandboxService[];
  /** Call it after the pod is deleted. */
  readonly remove: () => Promise<void>;
}

/** A server that does not answer must not delay the answer of the name server further. */
const untilOpenMs = 4_000;
const againMs = 200;

/** The networks of the pods of one namespace. */
export class PodNetworks {
  readonly #options: PodNetworksOptions;
  readonly #api: NetworkingV1Api;
  readonly #closed: ClosedAddresses;
  readonly #share = new UpstreamShare<object>();

  constructor(options: PodNetworksOptions) {
    this.#options = options;
    this.#api = options.config.makeApiClient(NetworkingV1Api);
    this.#closed = new ClosedAddresses(options.config, options.egress);
  }

  /** @throws {AirlockError} reason `policy` for a rule that names only closed addresses. */
  async prepare(plan: SandboxPlan, signal: AbortSignal): Promise<PreparedNetwork> {
    const { config, namespace, egress, calls } = this.#options;
    const place = { namespace, pod: podName(plan) };
    const closed = plan.egress.kind === "none" ? [] : await callApi(() => this.#closed.current(), calls(signal));
    const network = new PodNetwork({
      ...{ api: this.#api, namespace, plan, closed, calls },
      untilOpen: (targets, over) => this.#untilOpen(place.pod, targets, over),
    });
    const services: SandboxService[] = [];
    if (network.policy !== null) {
      const upstreams = egress.upstreams ?? (await readHostUpstreams());
      const options = { network, closed, upstreams, share: this.#share, onDenied: plan.onEgressDenied };
      const resolver = new PodResolver(options, network.policy);
      await resolver.lookUpAhead(signal);
      services.push(resolver.service);
    }
    const openNetworks = egress.openNetworks ?? "refuse";
    return {
      create: (over) => network.create(over),
      own: (pod, over) => network.own(pod, over),
      prove: (pod, over) => proveClosedNetwork(config, place, pod, { ...calls(over), openNetworks }),
      services,
      remove: () => network.remove(),
    };
  }

  /**
   * Deletes policies that no pod owns: an executor that dies between two requests leaves them. Those of other executors
   * must be old, because their pods may be about to own them.
   */
  async collect({
    owner,
    keep,
    keepUnownedMs,
    signal,
  }: Abortable & {
    readonly owner: string;
    readonly keep: ReadonlySet<string>;
    readonly keepUnownedMs: number;
  }): Promise<readonly string[]> {
    const { namespace } = this.#options;
    const { items } = await this.#api.listNamespacedNetworkPolicy({ namespace, labelSelector: ownerLabel });
    const details: string[] = [];
    for (const { metadata = {} } of items) {
      signal.throwIfAborted();
      const { name = "", labels = {}, annotations = {}, ownerReferences = [], creationTimestamp } = metadata;
      if (ownerReferences.length > 0) continue;
      const age = Date.now() - (creationTimestamp?.getTime() ?? Date.now());
      const isOwn = labels[ownerLabel] === labelOf(owner);
      // Earlier versions had one policy for all pods of an executor, which another executor may still use.
      const isLeft = isOwn ? !keep.has(annotations[sandboxAnnotation] ?? "") : sandboxLabel in labels;
      if (!isLeft || (!isOwn && age < keepUnownedMs)) continue;
      await deletePolicy(this.#api, namespace, name);
      details.push(`NetworkPolicy ${name}: deleted`);
    }
    return details;
  }

  /** Network plugins apply a changed policy with a delay, and refuse connections until then. */
  async #untilOpen(pod: string, targets: readonly ReachTarget[], signal: AbortSignal): Promise<void> {
    const { config, namespace, calls } = this.#options;
    const over = AbortSignal.any([signal, AbortSignal.timeout(untilOpenMs)]);
    while (!over.aborted) {
      try {
        const [, ...isOpen] = await askReach(config, { namespace, pod }, targets, calls(over));
        if (isOpen.includes(true)) return;
        await pause(againMs, over);
      } catch {
        // The time is over, or the pod has ended. The step finds out whether it reaches the address.
        return;
      }
    }
  }
}
