import { randomInt } from "node:crypto";
import { errorMessage } from "@airlock/job";
import type { Abortable } from "../contract/index.ts";
import { AddressPool, defaultPool } from "./addresses/address-pool.ts";
import { formatRange, type IpRange } from "./addresses/ip-range.ts";
import { Attachments } from "./attachments.ts";
import type { EgressCapabilities } from "./capabilities.ts";
import { ClosedDestinations } from "./closed-destinations.ts";
import { ResolverProcess } from "./dns/resolver-process.ts";
import type { Upstream } from "./dns/upstream.ts";
import { readHostUpstreams } from "./dns/upstream-servers.ts";
import type {
  EgressEngine,
  EgressOptions,
  GuestAttachment,
  GuestEgress,
  NamespaceAttachment,
  PreparedBridge,
  SandboxEgress,
} from "./egress-engine.ts";
import { CachedHostState } from "./host/cached-host-state.ts";
import {
  type ConnectionTable,
  canForgetConnections,
  forgetConnections,
  readConnectionTable,
} from "./host/connection-table.ts";
import { Forwarding } from "./host/forwarding.ts";
import { HostNetwork } from "./host/host-network.ts";
import { type OwnerNames, ownerNames, tablePrefix } from "./host/names.ts";
import { removeLeftovers } from "./leftovers.ts";
import { probeGuestLink, probeHost } from "./probe-host.ts";
import { ConnectionGuard } from "./rules/connection-guard.ts";
import { type ConnectionLimits, connectionLimits } from "./rules/connection-limits.ts";
import { Pins } from "./rules/pins.ts";
import { RuleTable } from "./rules/rule-table.ts";
import { RuleWatch } from "./rules/rule-watch.ts";

export function createEgressEngine(options: EgressOptions & { readonly owner: string }): EgressEngine {
  return new NftablesEngine(options);
}

/** Combines the rules, their watch, the resolver and the attachments. */
class NftablesEngine implements EgressEngine {
  readonly #options: EgressOptions;
  readonly #names: OwnerNames;
  readonly #network: HostNetwork;
  readonly #hostState: CachedHostState;
  readonly #forwarding: Forwarding;
  readonly #table: RuleTable;
  readonly #resolver: ResolverProcess;
  readonly #attachments: Attachments;
  #capabilities: Promise<EgressCapabilities> | undefined;
  /** Set together with the capabilities, which every attachment queries first. */
  #limits: ConnectionLimits = connectionLimits({ size: 0, closedSeconds: 120 }, { hasTimeouts: false });
  #canForgetConnections = false;

  constructor(options: EgressOptions & { readonly owner: string }) {
    this.#options = options;
    this.#names = ownerNames(options.owner);
    this.#network = new HostNetwork(options.networkNamespace);
    this.#hostState = new CachedHostState(this.#network, this.#names.interfacePrefix);
    this.#forwarding = new Forwarding(this.#network);
    const pool = new AddressPool(options.pool ?? defaultPool, this.#names.globalId);
    const closed = new ClosedDestinations({
      pools: [pool.range, pool.ipv6Range],
      ranges: options.closed ?? [],
      hosts: options.closedHosts ?? [],
      ...(options.lookUp ? { lookUp: options.lookUp } : {}),
      apply: async (ranges) => {
        await Promise.all([this.#table.close(ranges), this.#resolver.configure()]);
      },
    });
    // Above the kernel's default range for the ports of outgoing connections.
    const resolverPort = randomInt(61_000, 65_536);
    this.#table = new RuleTable({
      network: this.#network,
      names: this.#names,
      pools: closed.pools,
      closed: () => closed.given,
      resolverPort,
      limits: () => this.#limits,
    });
    const onProblem = options.onProblem ?? (() => {});
    const guard = new ConnectionGuard({
      table: this.#table,
      read: () => this.#connectionTable(),
      onProblem,
    });
    const watch = new RuleWatch({
      table: this.#table,
      network: this.#network,
      refreshClosed: () => closed.refresh(),
      guardConnections: () => guard.check(),
      onProblem,
    });
    const pins = new Pins({
      table: this.#table,
      closed: () => closed.all,
      onFull: (slot) =>
        onProblem(
          `sandbox ${this.#attachments.sandboxIdOf(slot)} opens more addresses by name than a sandbox may; further ones stay closed for a while`,
        ),
    });
    this.#resolver = new ResolverProcess({
      network: this.#network,
      upstreams: () => this.#upstreams(),
      closed: () => closed.all,
      port: resolverPort,
      onPin: (request) => pins.open(request),
      onDenied: (slot, denial) => watch.report(slot, denial),
    });
    this.#attachments = new Attachments({
      names: this.#names,
      network: this.#network,
      hostState: this.#hostState,
      forwarding: this.#forwarding,
      pool,
      closed,
      table: this.#table,
      watch,
      resolver: this.#resolver,
      capabilities: () => this.capabilities(),
      forgetConnections: (sources) => this.#forgetConnections(sources),
    });
  }

  capabilities(): Promise<EgressCapabilities> {
    this.#capabilities ??= this.#findCapabilities();
    return this.#capabilities;
  }

  attachNamespace(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
  ): Promise<NamespaceAttachment> {
    return this.#attachments.attachNamespace(sandbox);
  }

  attachGuest(sandbox: GuestEgress & Abortable): Promise<GuestAttachment> {
    return this.#attachments.attachGuest(sandbox);
  }

  prepareBridge(sandbox: SandboxEgress & Abortable): Promise<PreparedBridge> {
    return this.#attachments.prepareBridge(sandbox);
  }

  async collect({ keep, signal }: Abortable & { readonly keep: ReadonlySet<string> }): Promise<readonly string[]> {
    if (!(await this.capabilities()).public) return [];
    const failures = await this.#attachments.retryRemovals();
    const removed = await removeLeftovers({
      names: this.#names,
      network: this.#network,
      isKept: (sandbox) => keep.has(sandbox) || this.#attachments.sandboxIds.includes(sandbox),
      signal,
    });
    await this.#removeUnusedTable();
    if (failures.length > 0) throw new AggregateError(failures, "networks of ended sandboxes can't be removed yet");
    return removed;
  }

  async close(): Promise<void> {
    // If the capabilities were never queried, nothing was created.
    if (!(await this.#capabilities)?.public) return;
    await this.#resolver.stop();
    await this.#removeUnusedTable();
  }

  async #removeUnusedTable(): Promise<void> {
    await this.#table.removeIf(
      async () => {
        const { links } = await this.#network.readState();
        // Without rules, leftover sandboxes would be open.
        const hasLinks = links.some(({ name }) => name.startsWith(this.#names.interfacePrefix));
        // Must be checked last: an attachment that begins later creates the table again.
        return !hasLinks && !this.#attachments.isInUse;
      },
      async () => {
        // Another executor on this machine needs forwarding while it has rules.
        if (!(await this.#network.hasTable(tablePrefix))) await this.#forwarding.restore();
      },
    );
  }

  async #forgetConnections(sources: readonly IpRange[]): Promise<void> {
    if (!this.#canForgetConnections) return;
    try {
      await forgetConnections(this.#network, sources.map(formatRange));
    } catch (error) {
      this.#options.onProblem?.(
        `cannot remove a finished job's connections from the host's table: ${errorMessage(error)}`,
      );
    }
  }

  async #findCapabilities(): Promise<EgressCapabilities> {
    const { problem, hasTimeouts } = await probeHost();
    if (problem !== null) {
      return { public: false, allow: false, ipv6: false, notes: [problem], linkNotes: [], guestProblem: problem };
    }
    // After the probe, because its rules make the kernel load connection tracking.
    const [forwarding, upstreams, table, canForget, guestProblem] = await Promise.all([
      this.#hostState.read().then((state) => this.#forwarding.inspect(state)),
      this.#upstreams(),
      this.#connectionTable(),
      canForgetConnections(),
      probeGuestLink(),
    ]);
    this.#limits = connectionLimits(table, { hasTimeouts });
    this.#canForgetConnections = canForget;
    return {
      public: true,
      allow: true,
      ipv6: forwarding.ipv6,
      linkNotes: forwarding.firewallNotes,
      guestProblem,
      notes: [
        ...forwarding.notes,
        ...(upstreams.length > 0
          ? []
          : ["Names do not resolve in sandboxes because the host has no name server. Configure one."]),
        ...(canForget
          ? []
          : [
              "Connections that a job leaves open stay in the host's table for hours. Install conntrack to remove them.",
            ]),
      ],
    };
  }

  #connectionTable(): Promise<ConnectionTable> {
    return (this.#options.connectionTable ?? (() => readConnectionTable(this.#network)))();
  }

  async #upstreams(): Promise<readonly Upstream[]> {
    return this.#options.upstreams ?? (await readHostUpstreams());
  }
}
