import { randomInt } from "node:crypto";
import { readdir } from "node:fs/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import type { EgressDenial } from "../contract/egress-denial.ts";
import { refusedByPolicy, runtimeFailed } from "../contract/errors.ts";
import type { Abortable } from "../contract/runtime.ts";
import { type AddressBlock, AddressPool, defaultPool } from "./addresses/address-pool.ts";
import { ClosedRanges } from "./addresses/closed-ranges.ts";
import { formatRange, type IpRange, parseRange } from "./addresses/ip-range.ts";
import { specialRanges, touches } from "./addresses/special-ranges.ts";
import { type EgressCapabilities, findProblem } from "./capabilities.ts";
import { type PinRequest, ResolverProcess } from "./dns/resolver-process.ts";
import type { Upstream } from "./dns/upstream.ts";
import { readHostUpstreams } from "./dns/upstream-servers.ts";
import { Forwarding } from "./host/forwarding.ts";
import { HostNetwork, type HostState } from "./host/host-network.ts";
import { interfaceName, type OwnerNames, ownerNames, tablePrefix } from "./host/names.ts";
import { ToolError } from "./host/run-tool.ts";
import { hostEndCommands, sandboxEndCommands } from "./host/sandbox-link.ts";
import { type CompiledPolicy, type ConnectedPolicy, compilePolicy } from "./policy/compile-policy.ts";
import { DenialReporter, parseDenied } from "./rules/denied-destinations.ts";
import {
  baseRuleset,
  closingRuleset,
  type Pin,
  pinRuleset,
  type SandboxRules,
  sandboxRemoval,
  sandboxRuleset,
} from "./rules/ruleset.ts";
import { Together } from "./together.ts";

export interface EgressOptions {
  /** IPv4 range that sandboxes get their addresses from, `/13` to `/29`, 8 for each. Default: `198.18.0.0/15`. */
  readonly pool?: string;
  /** Name servers that look-ups are passed on to. Default: those of the host's `/etc/resolv.conf`. */
  readonly upstreams?: readonly Upstream[];
  /**
   * Ranges (`10.0.0.0/8`, `2001:db8::1`) that no policy opens, besides those that never are. Default: none.
   */
  readonly closed?: readonly string[];
  /**
   * Names or addresses of hosts that no policy opens, such as the instance. Looked up again every minute while there are
   * sandboxes; an address that a host once had stays closed. Default: none.
   */
  readonly closedHosts?: readonly string[];
  /** Addresses of one of them; rejects where there is no answer. Default: as this machine looks names up. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
  /**
   * Absolute path of the network namespace that sandboxes are attached to, for a container engine that does not live in
   * the executor's. Default: the executor's own.
   */
  readonly networkNamespace?: string;
  /** Told, for the operator's log, when rules had to be put back or could not be. Default: nobody. */
  readonly onProblem?: (problem: string) => void;
}

export interface SandboxEgress {
  /** Unique on the machine, `[a-z0-9-]`, at most 60 characters. */
  readonly sandboxId: string;
  readonly policy: ConnectedPolicy;
  /** Told once for each distinct destination or name, at most 100 times; about a second late. */
  readonly onDenied: (denial: EgressDenial) => void;
}

/** The network of one sandbox. Disposing closes it and removes everything of it; safe to do twice. */
export interface EgressAttachment extends AsyncDisposable {
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  readonly address: string;
  readonly ipv6Address: string | null;
  /** Puts another policy in place in one transaction. Connections that it does not allow are cut. */
  replacePolicy(policy: ConnectedPolicy): Promise<void>;
  /** Tells what was denied until now, without waiting for the next round; for the end of a step. Never rejects. */
  reportDenied(): Promise<void>;
}

export interface NamespaceAttachment extends EgressAttachment {
  /** Of the sandbox's network namespace. */
  readonly namespacePath: string;
}

/** A bridge that a container engine is to make; the rules for it stand already. */
export interface PreparedBridge extends EgressAttachment {
  /** To be the bridge's interface name (`com.docker.network.bridge.name`). */
  readonly bridgeName: string;
  /** In CIDR form; with {@link gateway} the bridge's own address, which is also the name server. */
  readonly subnet: string;
  readonly gateway: string;
  readonly ipv6: { readonly subnet: string; readonly gateway: string } | null;
  /**
   * To be called once the bridge exists and before a container is on it: settles its settings and starts DNS.
   * @throws {AirlockError} reason `policy` when there is no such bridge: it is in another network, out of the rules' reach.
   */
  activate(): Promise<void>;
}

/** Enforces egress policies outside of sandboxes, in the kernel. One for each owner of sandboxes. */
export interface EgressEngine {
  /** What this host enforces; asked of the kernel once. */
  capabilities(): Promise<EgressCapabilities>;

  /**
   * Gives a sandbox a network namespace with one link, which reaches what the policy allows from its first packet on.
   * @param namespacePath of an existing namespace. Default: a new one, removed with the attachment.
   * @throws {AirlockError} reason `policy` when the policy can't be enforced here or names what is never open, `runtime`
   * when the kernel or its tools fail. Nothing is left behind then.
   */
  attachNamespace(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
  ): Promise<NamespaceAttachment>;

  /** Reserves addresses and puts the rules for a bridge in place before it exists. Throws as {@link attachNamespace}. */
  prepareBridge(sandbox: SandboxEgress & Abortable): Promise<PreparedBridge>;

  /** Removes links, namespaces and rules of sandboxes that are not in `keep`; answers a line for each thing removed. */
  collect(options: Abortable & { readonly keep: ReadonlySet<string> }): Promise<readonly string[]>;

  /**
   * Ends the resolver and, when no sandbox of the owner is left, removes the rules. Attachments are to be disposed before.
   */
  close(): Promise<void>;
}

export function createEgressEngine(options: EgressOptions & { readonly owner: string }): EgressEngine {
  return new NftablesEngine(options);
}

const namespacesDirectory = "/run/netns";
const pollMs = 1000;
const stateMaxAgeMs = 30_000;
const pinMarginSeconds = 60;
const maxPinSeconds = 3600;

/** Everything that the engine knows about a sandbox: enough to put its rules back from nothing. */
interface Attached {
  readonly sandboxId: string;
  readonly block: AddressBlock;
  readonly denials: DenialReporter;
  rules: SandboxRules;
}

class NftablesEngine implements EgressEngine {
  readonly #names: OwnerNames;
  readonly #network: HostNetwork;
  readonly #pool: AddressPool;
  readonly #closed: ClosedRanges;
  /** What is closed since the rules were made, and not in them yet. */
  readonly #toClose: IpRange[] = [];
  readonly #options: EgressOptions;
  readonly #forwarding: Forwarding;
  /** Above the range that the kernel gives to outgoing connections by default. */
  readonly #resolverPort = randomInt(61_000, 65_536);
  readonly #attached = new Map<number, Attached>();
  /** Attachments under way: what they have found in place must stay. */
  #beingMade = 0;
  readonly #pins: { pin: readonly Pin[]; done: PromiseWithResolvers<void> }[] = [];
  #capabilities: Promise<EgressCapabilities> | undefined;
  #installed: Promise<void> | undefined;
  #resolver: Promise<ResolverProcess> | undefined;
  #state: { readonly at: number; readonly value: Promise<HostState> } | undefined;
  #transactions: Promise<unknown> = Promise.resolve();
  #poller: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;

  constructor(options: EgressOptions & { readonly owner: string }) {
    this.#options = options;
    this.#names = ownerNames(options.owner);
    this.#network = new HostNetwork(options.networkNamespace);
    this.#pool = new AddressPool(options.pool ?? defaultPool, this.#names.globalId);
    this.#closed = new ClosedRanges({
      ranges: options.closed ?? [],
      hosts: options.closedHosts ?? [],
      ...(options.lookUp ? { lookUp: options.lookUp } : {}),
    });
    this.#forwarding = new Forwarding(this.#network);
  }

  capabilities(): Promise<EgressCapabilities> {
    this.#capabilities ??= this.#findCapabilities();
    return this.#capabilities;
  }

  async attachNamespace(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
  ): Promise<NamespaceAttachment> {
    return this.#making(sandbox, async (undo) => {
      const { sandboxId, signal } = sandbox;
      const makeNamespace = async (): Promise<string> => {
        if (sandbox.namespacePath !== undefined) return sandbox.namespacePath;
        const name = `${this.#names.namespacePrefix}${sandboxId}`;
        await this.#network.ip(`netns add ${name}\n`);
        undo.add(() => this.#network.ip(`netns delete ${name}\n`));
        return `${namespacesDirectory}/${name}`;
      };
      const [attached, namespacePath] = await settleAll([this.#reserve(sandbox, undo), makeNamespace()]);
      signal.throwIfAborted();
      const { block, rules } = attached;
      const hasIpv6 = rules.ipv6Subnet !== null;
      const state = await this.#hostState();
      const link = {
        interfaceName: rules.interfaceName,
        alias: `airlock:${sandboxId}`,
        namespacePath,
        block,
        mtu: this.#forwarding.uplinkMtu(state),
        hasIpv6,
      };
      undo.add(() => this.#deleteLink(rules.interfaceName));
      await this.#network.ip(hostEndCommands(link));
      await Promise.all([
        new HostNetwork(namespacePath).ip(sandboxEndCommands(link)),
        this.#forwarding.prepareInterface(rules.interfaceName, hasIpv6),
        this.#startDns(attached, undo),
      ]);
      signal.throwIfAborted();
      return { ...this.#attachment(attached), namespacePath };
    });
  }

  async prepareBridge(sandbox: SandboxEgress & Abortable): Promise<PreparedBridge> {
    return this.#making(sandbox, async (undo) => {
      const attached = await this.#reserve(sandbox, undo);
      const { block, rules } = attached;
      const hasIpv6 = rules.ipv6Subnet !== null;
      return {
        ...this.#attachment(attached),
        bridgeName: rules.interfaceName,
        subnet: formatRange(block.subnet),
        gateway: block.gateway,
        ipv6: hasIpv6 ? { subnet: formatRange(block.ipv6.subnet), gateway: block.ipv6.gateway } : null,
        activate: async () => {
          const { links } = await this.#network.readState();
          if (!links.some(({ name }) => name === rules.interfaceName)) {
            throw refusedByPolicy(
              "the container engine's networks are out of the egress rules' reach",
              "Run the executor and the container engine in the same network namespace.",
            );
          }
          await this.#forwarding.prepareInterface(rules.interfaceName, hasIpv6);
          await this.#startDns(attached, undo);
        },
      };
    });
  }

  async collect({ keep, signal }: Abortable & { readonly keep: ReadonlySet<string> }): Promise<readonly string[]> {
    const { notes: _, ...can } = await this.capabilities();
    if (!can.public) return [];
    const removed: string[] = [];
    const mine = new Set([...keep, ...[...this.#attached.values()].map(({ sandboxId }) => sandboxId)]);
    const { links } = await this.#network.readState();
    for (const link of links) {
      // Bridges are their container engine's, which removes them with its networks; closed they are all the while.
      if (!link.name.startsWith(this.#names.interfacePrefix) || link.kind !== "veth") continue;
      const sandbox = link.alias?.replace(/^airlock:/, "") ?? "unknown";
      if (mine.has(sandbox)) continue;
      signal.throwIfAborted();
      await this.#deleteLink(link.name);
      removed.push(`network link ${link.name} of sandbox ${sandbox}`);
    }
    for (const name of await listNamespaces()) {
      const sandbox = name.slice(this.#names.namespacePrefix.length);
      if (!name.startsWith(this.#names.namespacePrefix) || mine.has(sandbox)) continue;
      signal.throwIfAborted();
      await this.#network.ip(`netns delete ${name}\n`);
      removed.push(`network namespace ${name}`);
    }
    if (this.#attached.size === 0) await this.#removeUnusedTable();
    return removed;
  }

  async close(): Promise<void> {
    // Nothing was made then.
    if (!(await this.#capabilities)?.public) return;
    clearInterval(this.#poller);
    this.#poller = undefined;
    await (await this.#resolver?.catch(() => undefined))?.[Symbol.asyncDispose]();
    this.#resolver = undefined;
    if (this.#attached.size === 0) await this.#removeUnusedTable();
  }

  async #findCapabilities(): Promise<EgressCapabilities> {
    const problem = await findProblem();
    if (problem !== null) return { public: false, allow: false, ipv6: false, notes: [problem], linkNotes: [] };
    const [forwarding, upstreams] = await Promise.all([
      this.#hostState().then((state) => this.#forwarding.inspect(state)),
      this.#upstreams(),
    ]);
    return {
      public: true,
      allow: true,
      ipv6: forwarding.ipv6,
      linkNotes: forwarding.firewallNotes,
      notes: [
        ...forwarding.notes,
        ...(upstreams.length > 0 ? [] : ["Names don't resolve in sandboxes: the host has no name server; set one."]),
      ],
    };
  }

  /** Runs `make` and gives back what it made when it fails, or else when the attachment is disposed. */
  async #making<M extends object>(
    { sandboxId, policy, signal }: SandboxEgress & Abortable,
    make: (undo: Together) => Promise<M>,
  ): Promise<M & AsyncDisposable> {
    signal.throwIfAborted();
    const { notes, ...can } = await this.capabilities();
    if (!can[policy.kind]) {
      throw refusedByPolicy(
        `the egress policy "${policy.kind}" can't be enforced here`,
        notes[0] ?? 'Use the egress policy "none".',
      );
    }
    if (!/^[a-z0-9-]{1,60}$/.test(sandboxId)) throw runtimeFailed(`"${sandboxId}" can't name a sandbox`);
    const undo = new Together();
    this.#beingMade += 1;
    try {
      const made = await make(undo);
      return Object.assign(made, { [Symbol.asyncDispose]: () => undo.run() });
    } catch (error) {
      await undo.run().catch((left: unknown) => {
        throw runtimeFailed(`the network of sandbox ${sandboxId} is half made`, new AggregateError([error, left]));
      });
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      // Another executor may have taken what looked free: the next try sees it.
      this.#state = undefined;
      throw runtimeFailed(`cannot make the network of sandbox ${sandboxId}`, error);
    } finally {
      this.#beingMade -= 1;
    }
  }

  /** Addresses, and rules that close and open exactly what they should before there is an interface to send anything. */
  async #reserve({ sandboxId, policy, onDenied }: SandboxEgress, undo: Together): Promise<Attached> {
    await this.#refreshClosed();
    const compiled = this.#compile(policy);
    const state = await this.#hostState();
    const { ipv6 } = await this.capabilities();
    await this.#installOnce();
    await this.#forwarding.prepareUplinks(state, destinations(compiled), ipv6);
    const block = this.#pool.take([...state.addresses, ...state.routes].flatMap(({ range }) => range ?? []));
    if (block === undefined) {
      throw runtimeFailed(
        `the address pool ${formatRange(this.#pool.range)} has no free block`,
        undefined,
        "Give this executor a larger pool, or one that does not overlap with the host's routes.",
      );
    }
    undo.finally(() => this.#pool.giveBack(block.slot));
    const attached: Attached = {
      sandboxId,
      block,
      denials: new DenialReporter(onDenied),
      rules: {
        slot: block.slot,
        interfaceName: interfaceName(this.#names, block.slot),
        gateway: block.gateway,
        subnet: block.subnet,
        ipv6Subnet: ipv6 ? block.ipv6.subnet : null,
        policy: compiled,
      },
    };
    undo.add(() => this.#detach(attached));
    await this.#transaction(async () => {
      await this.#network.nft(sandboxRuleset(this.#names, attached.rules, this.#resolverPort));
      this.#attached.set(block.slot, attached);
    });
    this.#poller ??= setInterval(() => void this.#round(), pollMs).unref();
    return attached;
  }

  async #detach(attached: Attached): Promise<void> {
    if (!this.#attached.has(attached.block.slot)) return;
    // What was denied since the last round, before the kernel forgets it.
    await this.#poll();
    await this.#transaction(async () => {
      this.#attached.delete(attached.block.slot);
      try {
        await this.#network.nft(sandboxRemoval(this.#names, attached.rules));
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        // Someone flushed the rules: those of the others are put back, without this one.
        await this.#network.nft(this.#wholeRuleset());
      }
    });
    if (this.#attached.size > 0) return;
    clearInterval(this.#poller);
    this.#poller = undefined;
  }

  async #startDns({ block, rules }: Attached, undo: Together): Promise<void> {
    this.#resolver ??= this.#makeResolver();
    const resolver = await this.#resolver;
    undo.add(() => resolver.unlisten(block.slot));
    await resolver.listen(block.slot, { address: block.gateway, policy: resolverPolicy(rules.policy) });
  }

  async #makeResolver(): Promise<ResolverProcess> {
    return new ResolverProcess({
      network: this.#network,
      upstreams: await this.#upstreams(),
      closed: () => this.#neverOpen().map(formatRange),
      port: this.#resolverPort,
      onPin: (request) => this.#pin(request),
      onDenied: (slot, name, isOverLimit) =>
        this.#attached.get(slot)?.denials.add({ kind: "name", name, ...(isOverLimit ? { isOverLimit } : {}) }),
    });
  }

  async #upstreams(): Promise<readonly Upstream[]> {
    return this.#options.upstreams ?? (await readHostUpstreams());
  }

  #attachment(attached: Attached): Omit<EgressAttachment, typeof Symbol.asyncDispose> {
    const { block, rules } = attached;
    return {
      // Two tries of two seconds each; asked again the resolver asks its upstreams again.
      resolvConf: `nameserver ${block.gateway}\noptions timeout:5 attempts:2\n`,
      address: block.address,
      ipv6Address: rules.ipv6Subnet === null ? null : block.ipv6.address,
      replacePolicy: (policy) => this.#replacePolicy(attached, policy),
      reportDenied: () => this.#poll(),
    };
  }

  async #replacePolicy(attached: Attached, policy: ConnectedPolicy): Promise<void> {
    const next = { ...attached.rules, policy: this.#compile(policy) };
    await this.#transaction(async () => {
      await this.#network.nft(
        sandboxRemoval(this.#names, attached.rules) + sandboxRuleset(this.#names, next, this.#resolverPort),
      );
      attached.rules = next;
    });
    const resolver = await this.#resolver;
    await resolver?.listen(attached.block.slot, {
      address: attached.block.gateway,
      policy: resolverPolicy(next.policy),
    });
  }

  #compile(policy: ConnectedPolicy): CompiledPolicy {
    return compilePolicy(policy, this.#neverOpen());
  }

  #neverOpen(): readonly IpRange[] {
    return [...this.#closed.ranges, this.#pool.range, this.#pool.ipv6Range];
  }

  /** Closes the addresses that hosts have got since they were looked up last; open connections to them are cut. */
  async #refreshClosed(): Promise<void> {
    this.#toClose.push(...(await this.#closed.refresh(Date.now())));
    if (this.#toClose.length === 0 || this.#installed === undefined) return;
    await this.#transaction(async () => {
      const ranges = [...this.#toClose];
      try {
        await this.#network.nft(closingRuleset(this.#names, ranges));
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        // Someone flushed the rules, or an older nft does not join ranges: all of them anew, in one transaction.
        await this.#network.nft(this.#wholeRuleset());
      }
      this.#toClose.splice(0, ranges.length);
    });
    (await this.#resolver)?.configure();
  }

  #installOnce(): Promise<void> {
    this.#installed ??= this.#transaction(() => this.#network.nft(this.#wholeRuleset())).catch((error: unknown) => {
      this.#installed = undefined;
      throw error;
    });
    return this.#installed;
  }

  #wholeRuleset(): string {
    const base = baseRuleset({
      names: this.#names,
      pools: [this.#pool.range, this.#pool.ipv6Range],
      closed: this.#closed.ranges,
      resolverPort: this.#resolverPort,
    });
    const sandboxes = [...this.#attached.values()];
    return base + sandboxes.map(({ rules }) => sandboxRuleset(this.#names, rules, this.#resolverPort)).join("");
  }

  async #removeUnusedTable(): Promise<void> {
    const { links } = await this.#network.readState();
    // What is left of a sandbox stays closed.
    if (links.some(({ name }) => name.startsWith(this.#names.interfacePrefix))) return;
    await this.#transaction(async () => {
      const { table } = this.#names;
      // Another sandbox may have come meanwhile.
      if (this.#attached.size > 0 || this.#beingMade > 0 || !(await this.#network.hasTable(table))) return;
      this.#installed = undefined;
      await this.#network.nft(`delete table inet ${table}\n`);
      // Another executor on this machine needs it as long as it has rules.
      if (!(await this.#network.hasTable(tablePrefix))) await this.#forwarding.restore();
    });
  }

  async #deleteLink(name: string): Promise<void> {
    try {
      await this.#network.ip(`link delete ${name}\n`);
    } catch (error) {
      // It goes with its other end, the sandbox's namespace.
      const { links } = await this.#network.readState();
      if (links.some((link) => link.name === name)) throw error;
    }
  }

  /** Rules change one transaction after another, so that each sees what the one before it did. */
  #transaction<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#transactions.then(run);
    this.#transactions = result.catch(() => {});
    return result;
  }

  /** Look-ups that end while a transaction is under way share the next one. */
  async #pin(request: PinRequest): Promise<void> {
    const attached = this.#attached.get(request.slot);
    if (attached?.rules.policy.kind !== "allow") throw new Error("no such sandbox");
    const closed = [...specialRanges, ...this.#neverOpen()];
    const pins = request.addresses
      .filter(({ address }) => !touches(closed, parseRange(address)))
      .flatMap(({ family, address, ttl }) =>
        (request.ports ?? [null]).map((port) => ({
          slot: request.slot,
          family,
          address,
          port,
          seconds: Math.min(ttl + pinMarginSeconds, maxPinSeconds),
        })),
      );
    const done = Promise.withResolvers<void>();
    this.#pins.push({ pin: pins, done });
    if (this.#pins.length === 1) void this.#transaction(() => this.#openPins());
    await done.promise;
  }

  async #openPins(): Promise<void> {
    const waiting = this.#pins.splice(0);
    const pins = waiting.flatMap(({ pin }) => pin).filter(({ slot }) => this.#attached.has(slot));
    try {
      await this.#network.nft(pinRuleset(this.#names, pins));
      for (const { done } of waiting) done.resolve();
    } catch (error) {
      for (const { done } of waiting) done.reject(error);
    }
  }

  /** Calls that come while one is under way share it. Never rejects. */
  #poll(): Promise<void> {
    this.#polling ??= this.#transaction(() => this.#inspectRules()).finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #round(): Promise<void> {
    await this.#poll();
    try {
      await this.#refreshClosed();
    } catch (error) {
      this.#options.onProblem?.(`addresses that must be closed can't be: ${errorMessage(error)}`);
      await this.#cutLinks();
    }
  }

  /** Reads what was denied, and sees that the rules still stand: a firewall that is reloaded flushes everybody's. */
  async #inspectRules(): Promise<void> {
    if (this.#attached.size === 0) return;
    try {
      if (await this.#readDenied()) return;
      await this.#network.nft(this.#wholeRuleset());
      this.#options.onProblem?.("someone flushed the host's nftables rules; those of the sandboxes are back in place");
    } catch (error) {
      this.#options.onProblem?.(`the rules of the sandboxes can't be kept: ${errorMessage(error)}`);
      await this.#cutLinks();
    }
  }

  /** Answers whether the rules of every sandbox are there. */
  async #readDenied(): Promise<boolean> {
    let listing: unknown;
    try {
      listing = await this.#network.nftList("sets", "table", "inet", this.#names.table);
    } catch (error) {
      if (error instanceof ToolError) return false;
      throw error;
    }
    const denied = parseDenied(listing);
    for (const [slot, denials] of denied) {
      for (const denial of denials) this.#attached.get(slot)?.denials.add(denial);
    }
    return [...this.#attached.keys()].every((slot) => denied.has(slot));
  }

  /** What can't be controlled is not connected. */
  async #cutLinks(): Promise<void> {
    const links = [...this.#attached.values()].map(({ rules }) => `link set ${rules.interfaceName} down\n`);
    // One that is gone already, or a tool that fails here too: the next round tries again.
    await Promise.allSettled(links.map((command) => this.#network.ip(command)));
  }

  /** Routes and addresses change rarely, and asking takes longer than all the rest of an attachment. */
  #hostState(): Promise<HostState> {
    const now = Date.now();
    if (this.#state && now - this.#state.at < stateMaxAgeMs) return this.#state.value;
    const value = this.#network.readState().then(
      // Our own links are no obstacle: the pool knows what it gave out.
      (state) => withoutOwn(state, this.#names.interfacePrefix),
    );
    this.#state = { at: now, value };
    value.catch(() => {
      this.#state = undefined;
    });
    return value;
  }
}

function withoutOwn(state: HostState, prefix: string): HostState {
  const isOther = ({ device }: { readonly device: string | null }) => !device?.startsWith(prefix);
  return { ...state, routes: state.routes.filter(isOther), addresses: state.addresses.filter(isOther) };
}

function destinations(policy: CompiledPolicy): readonly IpRange[] {
  return policy.kind === "allow" ? [...policy.privateRanges, ...policy.publicRanges].map(({ range }) => range) : [];
}

function resolverPolicy(policy: CompiledPolicy) {
  return policy.kind === "public" ? policy : { kind: "allow" as const, names: policy.names };
}

/** Waits for all before it fails: what was begun is registered for undoing then. */
async function settleAll<A, B>([a, b]: readonly [Promise<A>, Promise<B>]): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

async function listNamespaces(): Promise<readonly string[]> {
  try {
    return await readdir(namespacesDirectory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
