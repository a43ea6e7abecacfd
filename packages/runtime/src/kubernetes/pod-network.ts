import { randomBytes } from "node:crypto";
import type { NetworkingV1Api, V1NetworkPolicy, V1Pod } from "@kubernetes/client-node";
import type { SandboxPlan } from "../contract/index.ts";
import type { IpRange } from "../egress/addresses/ip-range.ts";
import type { AddressToPin, Pinned } from "../egress/dns/resolve-query.ts";
import { type CompiledPolicy, compilePolicy } from "../egress/policy/compile-policy.ts";
import { policyRefused, statusOf } from "./api-failure.ts";
import { type CallOptions, callApi } from "./call-api.ts";
import { egressRules, type OpenedAddresses } from "./egress-rules.ts";
import { labelOf, ownerLabel, podName, sandboxAnnotation, sandboxLabel } from "./pod-names.ts";
import type { ReachTarget } from "./reach.ts";

/** A sandbox opens at most as many addresses by name: each is a part of its policy, which all nodes may read. */
const maxAddresses = 256;

export interface PodNetworkOptions {
  readonly api: NetworkingV1Api;
  readonly namespace: string;
  readonly plan: Pick<SandboxPlan, "id" | "owner" | "egress">;
  /** Ranges that no policy opens. */
  readonly closed: readonly IpRange[];
  readonly calls: (signal: AbortSignal) => CallOptions;
  /** Waits until the pod reaches these addresses, or for a few seconds. Never rejects. */
  readonly untilOpen: (targets: readonly ReachTarget[], signal: AbortSignal) => Promise<void>;
}

/**
 * The NetworkPolicy of one pod. It exists before the pod, and Kubernetes deletes it with the pod. Its name is not used
 * twice, so it never is the policy of an earlier pod.
 */
export class PodNetwork {
  readonly #options: PodNetworkOptions;
  readonly #name: string;
  /** `null`: the policy `none`. */
  readonly policy: CompiledPolicy | null;
  readonly #opened = new Map<string, OpenedAddresses>();
  /** Settles when the pod reaches the address. Never rejects. */
  readonly #enforced = new Map<string, Promise<void>>();
  readonly #reached = new Set<string>();
  readonly #over = new AbortController();
  #pod: V1Pod | undefined;
  #writing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @throws {AirlockError} reason `policy` for a rule that names only closed addresses. */
  constructor(options: PodNetworkOptions) {
    const { plan, closed } = options;
    this.#options = options;
    this.#name = `${podName(plan)}-${randomBytes(4).toString("hex")}`;
    this.policy = plan.egress.kind === "none" ? null : compilePolicy(plan.egress, closed);
  }

  /** Creates the policy. Call it before the pod is created. */
  async create(signal: AbortSignal): Promise<void> {
    const { api, namespace } = this.#options;
    // The pod starts with them, so its first step need not wait for them.
    for (const { addresses, ports } of this.#opened.values())
      for (const address of addresses) this.#reached.add(pinOf(address, ports));
    try {
      await callApi(async (isRepeated) => {
        try {
          await api.createNamespacedNetworkPolicy({ namespace, body: this.#body() });
        } catch (error) {
          if (!isRepeated || statusOf(error) !== 409) throw error;
          // Most likely an earlier request whose answer was lost. Whatever it is, the pod needs these rules.
          await api.replaceNamespacedNetworkPolicy({ namespace, name: this.#name, body: this.#body() });
        }
      }, this.#options.calls(signal));
    } catch (error) {
      throw policyRefused(error);
    }
  }

  /** Makes the pod the owner of its policy. */
  async own(pod: V1Pod, signal: AbortSignal): Promise<void> {
    this.#pod = pod;
    try {
      await this.#write(signal);
    } catch (error) {
      this.#pod = undefined;
      throw policyRefused(error);
    }
  }

  /** Adds the addresses of a name to the policy that {@link create} will create. */
  include(addresses: readonly AddressToPin[], ports: readonly number[] | null): void {
    for (const { address } of addresses) this.#add(address, ports);
  }

  /**
   * Opens addresses, and resolves when the pod reaches them. If it reaches some of them already, the others are opened
   * meanwhile: programs need one address, and network plugins take a second for a new one.
   */
  async open(addresses: readonly AddressToPin[], ports: readonly number[] | null): Promise<Pinned> {
    const isNew = ({ address }: AddressToPin) => !this.#opened.get(keyOf(ports))?.addresses.includes(address);
    const added = addresses.filter((each) => isNew(each) && this.#add(each.address, ports)).map((each) => each.address);
    const isFull = addresses.some(isNew);
    const known = addresses.filter((each) => !isNew(each)).map(({ address }) => address);
    if (added.length > 0) {
      const enforced = this.#enforce(added, ports);
      for (const address of added) this.#enforced.set(pinOf(address, ports), enforced);
    }
    const ready = known.filter((address) => !added.includes(address) && this.#reached.has(pinOf(address, ports)));
    if (ready.length > 0) return { opened: new Set(ready), isFull };
    await Promise.all(known.map((address) => this.#enforced.get(pinOf(address, ports))));
    // An address whose request failed was taken out again.
    return { opened: new Set(addresses.filter((each) => !isNew(each)).map(({ address }) => address)), isFull };
  }

  /** Deletes the policy unless the pod owns it. Call it after the pod is deleted. */
  async remove(): Promise<void> {
    this.#over.abort();
    if (this.#pod !== undefined) return;
    await deletePolicy(this.#options.api, this.#options.namespace, this.#name);
  }

  async #enforce(addresses: readonly string[], ports: readonly number[] | null): Promise<void> {
    const { signal } = this.#over;
    try {
      await this.#write(signal);
    } catch {
      const key = keyOf(ports);
      const kept = this.#opened.get(key)?.addresses.filter((address) => !addresses.includes(address)) ?? [];
      this.#opened.set(key, { addresses: kept, ports });
      return;
    }
    const port = ports?.[0] ?? 443;
    await this.#options.untilOpen(
      addresses.map((address) => ({ address, port })),
      signal,
    );
    for (const address of addresses) this.#reached.add(pinOf(address, ports));
  }

  /** Returns whether there was room for it. */
  #add(address: string, ports: readonly number[] | null): boolean {
    const key = keyOf(ports);
    const addresses = this.#opened.get(key)?.addresses ?? [];
    if (addresses.includes(address)) return true;
    const count = [...this.#opened.values()].reduce((sum, each) => sum + each.addresses.length, 0);
    if (count >= maxAddresses) return false;
    this.#opened.set(key, { addresses: [...addresses, address], ports });
    return true;
  }

  /** Writes the policy as it is when its turn comes. One request at a time, so that an older one never comes last. */
  #write(signal: AbortSignal): Promise<void> {
    const { api, namespace, calls } = this.#options;
    if (this.#next !== undefined) return this.#next;
    const next = this.#writing.then(async () => {
      this.#next = undefined;
      await callApi(
        () => api.replaceNamespacedNetworkPolicy({ namespace, name: this.#name, body: this.#body() }),
        calls(signal),
      );
    });
    this.#next = next;
    this.#writing = next.catch(() => {});
    return next;
  }

  #body(): V1NetworkPolicy {
    const { plan, closed } = this.#options;
    const labels = { [ownerLabel]: labelOf(plan.owner), [sandboxLabel]: labelOf(plan.id) };
    const { name = "", uid = "" } = this.#pod?.metadata ?? {};
    return {
      metadata: {
        name: this.#name,
        labels,
        annotations: { [sandboxAnnotation]: plan.id },
        ...(this.#pod === undefined ? {} : { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid }] }),
      },
      spec: {
        podSelector: { matchLabels: labels },
        policyTypes: ["Ingress", "Egress"],
        egress: egressRules(this.policy, closed, [...this.#opened.values()]),
      },
    };
  }
}

/** A policy that is gone already is no failure. */
export async function deletePolicy(api: NetworkingV1Api, namespace: string, name: string): Promise<void> {
  await api.deleteNamespacedNetworkPolicy({ namespace, name }).catch((error: unknown) => {
    if (statusOf(error) !== 404) throw error;
  });
}

function pinOf(address: string, ports: readonly number[] | null): string {
  return `${address} ${keyOf(ports)}`;
}

function keyOf(ports: readonly number[] | null): string {
  return ports === null ? "*" : [...ports].sort((a, b) => a - b).join(",");
}
