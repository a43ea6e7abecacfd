import { AirlockError } from "@airlock/job";
import type { Abortable } from "../contract/index.ts";
import { refusedByPolicy, runtimeFailed } from "../contract/index.ts";
import type { AddressBlock, AddressPool } from "./addresses/address-pool.ts";
import { formatRange, type IpRange } from "./addresses/ip-range.ts";
import type { EgressCapabilities } from "./capabilities.ts";
import type { ClosedDestinations } from "./closed-destinations.ts";
import { connectGuest } from "./connect-guest.ts";
import type { ResolverProcess } from "./dns/resolver-process.ts";
import type {
  EgressAttachment,
  GuestAttachment,
  GuestEgress,
  NamespaceAttachment,
  PreparedBridge,
  SandboxEgress,
} from "./egress-engine.ts";
import type { CachedHostState } from "./host/cached-host-state.ts";
import type { Forwarding } from "./host/forwarding.ts";
import { HostNetwork } from "./host/host-network.ts";
import { interfaceTraffic } from "./host/interface-traffic.ts";
import { interfaceName, namespacesDirectory, type OwnerNames } from "./host/names.ts";
import { deleteLink, hostEndCommands, type SandboxLink, sandboxEndCommands } from "./host/sandbox-link.ts";
import { UndoTogether } from "./host/undo-together.ts";
import { type CompiledPolicy, type ConnectedPolicy, compilePolicy } from "./policy/compile-policy.ts";
import { gatewayMac, guestMac, guestTap } from "./rules/guest-ruleset.ts";
import type { RuleTable } from "./rules/rule-table.ts";
import type { RuleWatch } from "./rules/rule-watch.ts";
import type { SandboxRules } from "./rules/sandbox-ruleset.ts";

export interface AttachmentsOptions {
  readonly names: OwnerNames;
  readonly network: HostNetwork;
  readonly hostState: CachedHostState;
  readonly forwarding: Forwarding;
  readonly pool: AddressPool;
  readonly closed: ClosedDestinations;
  readonly table: RuleTable;
  readonly watch: RuleWatch;
  readonly resolver: ResolverProcess;
  readonly capabilities: () => Promise<EgressCapabilities>;
  /** Removes the connections that a sandbox left open from the host's table. Never rejects. */
  readonly forgetConnections: (sources: readonly IpRange[]) => Promise<void>;
}

/** Creates the networks of sandboxes. Removes each network with everything that belongs to it. */
export class Attachments {
  readonly #with: AttachmentsOptions;
  readonly #sandboxIds = new Map<number, string>();
  /** Number of attachments in progress. The table that they found must not be removed. */
  #beingMade = 0;
  /** What could not be removed yet. */
  readonly #unfinished = new Set<UndoTogether>();

  constructor(options: AttachmentsOptions) {
    this.#with = options;
  }

  get sandboxIds(): readonly string[] {
    return [...this.#sandboxIds.values()];
  }

  /**
   * Removes what could not be removed when its sandbox ended.
   * @returns the reasons of what still can't be removed.
   */
  async retryRemovals(): Promise<readonly unknown[]> {
    const results = await Promise.allSettled([...this.#unfinished].map((undo) => this.#remove(undo)));
    return results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  }

  async #remove(undo: UndoTogether): Promise<void> {
    this.#unfinished.add(undo);
    await undo.run();
    this.#unfinished.delete(undo);
  }

  sandboxIdOf(slot: number): string {
    return this.#sandboxIds.get(slot) ?? "unknown";
  }

  get isInUse(): boolean {
    return this.#sandboxIds.size > 0 || this.#beingMade > 0;
  }

  attachNamespace(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
  ): Promise<NamespaceAttachment> {
    return this.#making(sandbox, async (undo) => {
      const { link, attachment } = await this.#attachLink(sandbox, undo, async (link) => {
        await new HostNetwork(link.namespacePath).ip(sandboxEndCommands(link));
      });
      return { ...attachment, namespacePath: link.namespacePath };
    });
  }

  attachGuest(sandbox: GuestEgress & Abortable): Promise<GuestAttachment> {
    return this.#making(sandbox, async (undo) => {
      const { guestProblem } = await this.#with.capabilities();
      if (guestProblem !== null) {
        throw refusedByPolicy("this executor cannot give a virtual machine a network", guestProblem);
      }
      const { link, attachment } = await this.#attachLink(sandbox, undo, (link) =>
        connectGuest(link, { bandwidth: sandbox.bandwidth, hasTap: sandbox.namespacePath !== undefined }),
      );
      const { namespacePath, mtu, block, hasIpv6 } = link;
      const ipv6Gateway = hasIpv6 ? block.ipv6.gateway : null;
      const device = { tap: guestTap, macAddress: guestMac, mtu, gatewayMac };
      return { ...attachment, namespacePath, ...device, gateway: block.gateway, ipv6Gateway };
    });
  }

  /** @param connect Sets up the sandbox's end of the link. */
  async #attachLink(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
    undo: UndoTogether,
    connect: (link: SandboxLink) => Promise<void>,
  ) {
    const { names, network, hostState, forwarding } = this.#with;
    const { sandboxId, signal } = sandbox;
    const makeNamespace = async (): Promise<string> => {
      if (sandbox.namespacePath !== undefined) return sandbox.namespacePath;
      const name = `${names.namespacePrefix}${sandboxId}`;
      await network.ip(`netns add ${name}\n`);
      undo.add(() => network.ip(`netns delete ${name}\n`));
      return `${namespacesDirectory}/${name}`;
    };
    const [{ block, rules }, namespacePath] = await settleAll([this.#reserve(sandbox, undo), makeNamespace()]);
    signal.throwIfAborted();
    const hasIpv6 = rules.ipv6Subnet !== null;
    const link: SandboxLink = {
      interfaceName: rules.interfaceName,
      alias: `airlock:${sandboxId}`,
      namespacePath,
      block,
      mtu: forwarding.uplinkMtu(await hostState.read()),
      hasIpv6,
    };
    undo.add(() => deleteLink(network, rules.interfaceName));
    await network.ip(hostEndCommands(link));
    await settleAll([
      connect(link),
      forwarding.prepareInterface(rules.interfaceName, hasIpv6),
      this.#startDns(block, rules, undo),
    ]);
    signal.throwIfAborted();
    return { link, attachment: this.#attachment(block, rules) };
  }

  prepareBridge(sandbox: SandboxEgress & Abortable): Promise<PreparedBridge> {
    const { network, forwarding } = this.#with;
    return this.#making(sandbox, async (undo) => {
      const { block, rules } = await this.#reserve(sandbox, undo);
      const hasIpv6 = rules.ipv6Subnet !== null;
      return {
        ...this.#attachment(block, rules),
        bridgeName: rules.interfaceName,
        subnet: formatRange(block.subnet),
        gateway: block.gateway,
        ipv6: hasIpv6 ? { subnet: formatRange(block.ipv6.subnet), gateway: block.ipv6.gateway } : null,
        activate: async () => {
          const { links } = await network.readState();
          if (!links.some(({ name }) => name === rules.interfaceName)) {
            throw refusedByPolicy(
              "egress rules cannot reach the container engine's networks",
              "Run the executor and the container engine in the same network namespace.",
            );
          }
          await forwarding.prepareInterface(rules.interfaceName, hasIpv6);
          await this.#startDns(block, rules, undo);
        },
      };
    });
  }

  /** Runs `make`. If it fails, undoes what it created. Otherwise that happens when the attachment is disposed. */
  async #making<M extends object>(
    { sandboxId, policy, signal }: SandboxEgress & Abortable,
    make: (undo: UndoTogether) => Promise<M>,
  ): Promise<M & AsyncDisposable> {
    signal.throwIfAborted();
    const { notes, ...can } = await this.#with.capabilities();
    if (!can[policy.kind]) {
      throw refusedByPolicy(
        `this executor cannot enforce the egress policy "${policy.kind}"`,
        notes[0] ?? 'Use the egress policy "none".',
      );
    }
    if (!/^[a-z0-9-]{1,60}$/.test(sandboxId)) throw runtimeFailed(`"${sandboxId}" is not a sandbox id`);
    const undo = new UndoTogether();
    this.#beingMade += 1;
    try {
      const made = await make(undo);
      return Object.assign(made, { [Symbol.asyncDispose]: () => this.#remove(undo) });
    } catch (error) {
      await this.#remove(undo).catch((left: unknown) => {
        throw runtimeFailed(`the network of sandbox ${sandboxId} is incomplete`, new AggregateError([error, left]));
      });
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      // Another executor may have taken addresses that looked free. The next attempt reads the state again.
      this.#with.hostState.forget();
      throw runtimeFailed(`cannot create the network of sandbox ${sandboxId}`, error);
    } finally {
      this.#beingMade -= 1;
    }
  }

  /** Takes addresses and installs the sandbox's rules, before the sandbox has an interface that could send anything. */
  async #reserve(
    { sandboxId, policy, onDenied }: SandboxEgress,
    undo: UndoTogether,
  ): Promise<{ readonly block: AddressBlock; readonly rules: SandboxRules }> {
    const { names, hostState, forwarding, pool, closed, table, watch } = this.#with;
    await closed.refresh();
    const compiled = compilePolicy(policy, closed.all);
    const state = await hostState.read();
    const { ipv6 } = await this.#with.capabilities();
    await table.install();
    await forwarding.prepareUplinks(state, destinations(compiled), ipv6);
    const block = pool.take([...state.addresses, ...state.routes].flatMap(({ range }) => range ?? []));
    if (block === undefined) {
      throw runtimeFailed(
        `the address pool ${formatRange(pool.range)} has no free block`,
        undefined,
        "Give this executor a larger address pool, or one that does not overlap with the host's routes.",
      );
    }
    const { slot } = block;
    undo.finally(() => {
      pool.giveBack(slot);
      this.#sandboxIds.delete(slot);
    });
    const rules: SandboxRules = {
      slot,
      interfaceName: interfaceName(names, slot),
      gateway: block.gateway,
      subnet: block.subnet,
      ipv6Subnet: ipv6 ? block.ipv6.subnet : null,
      policy: compiled,
    };
    undo.add(() => this.#removeRules(rules));
    this.#sandboxIds.set(slot, sandboxId);
    watch.start(slot, onDenied);
    await table.add(rules);
    return { block, rules };
  }

  async #removeRules({ slot, subnet, ipv6Subnet }: SandboxRules): Promise<void> {
    const { table, watch, forgetConnections } = this.#with;
    // Read the latest denials before the kernel forgets them.
    await watch.poll();
    watch.stop(slot);
    await table.remove(slot);
    // Must be last, because a packet that passes would recreate its connection.
    await forgetConnections(ipv6Subnet === null ? [subnet] : [subnet, ipv6Subnet]);
  }

  async #startDns({ slot, gateway }: AddressBlock, { policy }: SandboxRules, undo: UndoTogether): Promise<void> {
    const { resolver } = this.#with;
    undo.add(() => resolver.unlisten(slot));
    await resolver.listen(slot, { address: gateway, policy: resolverPolicy(policy) });
  }

  #attachment(
    block: AddressBlock,
    { interfaceName: name, ipv6Subnet }: SandboxRules,
  ): Omit<EgressAttachment, typeof Symbol.asyncDispose> {
    return {
      // The resolver asks an upstream twice, 2 s each, so the sandbox waits longer than that. A second attempt makes
      // the resolver ask its upstreams again.
      resolvConf: `nameserver ${block.gateway}\noptions timeout:5 attempts:2\n`,
      address: block.address,
      ipv6Address: ipv6Subnet === null ? null : block.ipv6.address,
      replacePolicy: (policy) => this.#replacePolicy(block, policy),
      reportDenied: () => this.#with.watch.poll(),
      traffic: () => interfaceTraffic(name),
    };
  }

  async #replacePolicy({ slot, gateway }: AddressBlock, policy: ConnectedPolicy): Promise<void> {
    const { closed, table, resolver } = this.#with;
    const compiled = compilePolicy(policy, closed.all);
    await table.replacePolicy(slot, compiled);
    await resolver.listen(slot, { address: gateway, policy: resolverPolicy(compiled) });
  }
}

function destinations(policy: CompiledPolicy): readonly IpRange[] {
  return policy.kind === "allow" ? [...policy.privateRanges, ...policy.publicRanges].map(({ range }) => range) : [];
}

function resolverPolicy(policy: CompiledPolicy) {
  return policy.kind === "public" ? policy : { kind: "allow" as const, names: policy.names };
}

/** Waits for all promises before it fails, so that all have registered their undo actions and none is still working. */
async function settleAll<T extends readonly Promise<unknown>[]>(promises: readonly [...T]) {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
