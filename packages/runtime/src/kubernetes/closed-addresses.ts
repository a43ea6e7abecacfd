import { isIP } from "node:net";
import { CoreV1Api, DiscoveryV1Api, type KubeConfig, NetworkingV1Api } from "@kubernetes/client-node";
import { ClosedRanges } from "../egress/addresses/closed-ranges.ts";
import { type IpRange, parseRange } from "../egress/addresses/ip-range.ts";
import type { EgressOptions } from "../egress/egress-engine.ts";
import { statusOf } from "./api-failure.ts";

/** How long the cluster's own addresses count as known. */
const maxAgeMs = 300_000;
const pageSize = 500;

/**
 * What no policy of a pod opens: the administrator's ranges, the instance, the API server, and the addresses of nodes,
 * pods and Services as far as the executor may read them. Private ones are closed in any case.
 */
export class ClosedAddresses {
  readonly #config: KubeConfig;
  readonly #ranges: ClosedRanges;
  #found: readonly IpRange[] = [];
  #foundAtMs = Number.NEGATIVE_INFINITY;
  #finding: Promise<void> | undefined;

  constructor(config: KubeConfig, { closed = [], closedHosts = [], lookUp }: EgressOptions) {
    this.#config = config;
    const servers = [serverOf(config), process.env.KUBERNETES_SERVICE_HOST ?? ""];
    this.#ranges = new ClosedRanges({
      ranges: closed,
      hosts: [...new Set([...closedHosts, ...servers.filter((host) => host !== "")])],
      ...(lookUp ? { lookUp } : {}),
    });
  }

  /** @throws when the API server can't be asked. A right that the executor does not have is no failure. */
  async current(): Promise<readonly IpRange[]> {
    if (Date.now() - this.#foundAtMs >= maxAgeMs) {
      this.#finding ??= this.#find().finally(() => {
        this.#finding = undefined;
      });
      await this.#finding;
    }
    await this.#ranges.refresh(Date.now());
    return [...this.#ranges.ranges, ...this.#found];
  }

  async #find(): Promise<void> {
    const found = await Promise.all([this.#nodes(), this.#services(), this.#apiServers()].map(readable));
    this.#found = found.flat().flatMap(rangesOf);
    this.#foundAtMs = Date.now();
  }

  async #nodes(): Promise<readonly string[]> {
    const api = this.#config.makeApiClient(CoreV1Api);
    const found: string[] = [];
    for (let next: string | undefined = ""; next !== undefined; ) {
      const { items, metadata } = await api.listNode({ limit: pageSize, ...(next === "" ? {} : { _continue: next }) });
      for (const { spec, status } of items)
        found.push(...(status?.addresses ?? []).map(({ address }) => address), ...(spec?.podCIDRs ?? []));
      next = metadata?._continue || undefined;
    }
    return found;
  }

  async #services(): Promise<readonly string[]> {
    const { items } = await this.#config.makeApiClient(NetworkingV1Api).listServiceCIDR();
    return items.flatMap(({ spec }) => spec?.cidrs ?? []);
  }

  async #apiServers(): Promise<readonly string[]> {
    const labelSelector = "kubernetes.io/service-name=kubernetes";
    const api = this.#config.makeApiClient(DiscoveryV1Api);
    const { items } = await api.listNamespacedEndpointSlice({ namespace: "default", labelSelector });
    return items.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses));
  }
}

async function readable(reading: Promise<readonly string[]>): Promise<readonly string[]> {
  try {
    return await reading;
  } catch (error) {
    // 404: the cluster is older than this kind of object.
    if (statusOf(error) === 403 || statusOf(error) === 404) return [];
    throw error;
  }
}

/** A node also has a name among its addresses. */
function rangesOf(text: string): readonly IpRange[] {
  return isIP(text.split("/")[0] ?? "") === 0 ? [] : [parseRange(text)];
}

function serverOf(config: KubeConfig): string {
  const server = config.getCurrentCluster()?.server;
  return server === undefined ? "" : new URL(server).hostname.replace(/^\[|\]$/g, "");
}
