import type { Abortable, EgressDenial } from "../contract/index.ts";
import type { EgressCapabilities } from "./capabilities.ts";
import type { Upstream } from "./dns/upstream.ts";
import type { ConnectionTable } from "./host/connection-table.ts";
import type { ConnectedPolicy } from "./policy/compile-policy.ts";

export interface EgressOptions {
  /** IPv4 range that sandboxes get their addresses from, `/13` to `/29`, 8 for each. Default: `198.18.0.0/15`. */
  readonly pool?: string;
  /** Name servers that look-ups are forwarded to. Default: those of the host's `/etc/resolv.conf`. */
  readonly upstreams?: readonly Upstream[];
  /** Ranges (`10.0.0.0/8`, `2001:db8::1`) that no policy opens, besides those that are always closed. Default: none. */
  readonly closed?: readonly string[];
  /**
   * Names or addresses of hosts that no policy opens, such as the instance. Looked up again every minute while there are
   * sandboxes; an address that a host once had stays closed. Default: none.
   */
  readonly closedHosts?: readonly string[];
  /** Looks up the addresses of a closed host; rejects if there is no answer. Default: the C library's `getaddrinfo`. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
  /**
   * Absolute path of the network namespace that sandboxes are attached to, for a container engine that does not live in
   * the executor's. Default: the executor's own.
   */
  readonly networkNamespace?: string;
  /** The connection table of the network that sandboxes are attached to. Default: as the kernel says. */
  readonly connectionTable?: () => Promise<ConnectionTable>;
  /** Receives problems for the operator's log, such as rules that had to be restored. Default: they are dropped. */
  readonly onProblem?: (problem: string) => void;
}

export interface SandboxEgress {
  /** Unique on the machine, `[a-z0-9-]`, at most 60 characters. */
  readonly sandboxId: string;
  readonly policy: ConnectedPolicy;
  /** Called once for each distinct destination or name, at most 100 times, about a second after the attempt. */
  readonly onDenied: (denial: EgressDenial) => void;
}

/** The network of one sandbox. Disposing closes it and removes everything that belongs to it; safe to do twice. */
export interface EgressAttachment extends AsyncDisposable {
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  readonly address: string;
  readonly ipv6Address: string | null;
  /** Puts another policy in place in one transaction. Connections that it does not allow are cut. */
  replacePolicy(policy: ConnectedPolicy): Promise<void>;
  /** Reports what was denied until now, without waiting for the next round; for the end of a step. Never rejects. */
  reportDenied(): Promise<void>;
}

export interface NamespaceAttachment extends EgressAttachment {
  /** Path of the sandbox's network namespace. */
  readonly namespacePath: string;
}

/** A bridge that a container engine is about to make. The rules for it are already in place. */
export interface PreparedBridge extends EgressAttachment {
  /** Interface name that the bridge must get (`com.docker.network.bridge.name`). */
  readonly bridgeName: string;
  /** In CIDR form; with {@link gateway} the bridge's own address, which is also the name server. */
  readonly subnet: string;
  readonly gateway: string;
  readonly ipv6: { readonly subnet: string; readonly gateway: string } | null;
  /**
   * To be called once the bridge exists and before a container is attached to it: sets its kernel settings and starts DNS.
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

  /** Removes links, namespaces and rules of sandboxes that are not in `keep`; returns one line per thing removed. */
  collect(options: Abortable & { readonly keep: ReadonlySet<string> }): Promise<readonly string[]>;

  /** Ends the resolver and, if the owner has no sandbox left, removes the rules. Attachments must be disposed before. */
  close(): Promise<void>;
}
