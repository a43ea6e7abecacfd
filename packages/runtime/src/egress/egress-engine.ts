import type { Abortable, EgressDenial, NetworkTraffic } from "../contract/index.ts";
import type { EgressCapabilities } from "./capabilities.ts";
import type { Bandwidth } from "./connect-guest.ts";
import type { Upstream } from "./dns/upstream.ts";
import type { ConnectionTable } from "./host/connection-table.ts";
import type { ConnectedPolicy } from "./policy/compile-policy.ts";

export interface EgressOptions {
  /** IPv4 range for the sandboxes' addresses, `/13` to `/29`, 8 for each sandbox. Default: `198.18.0.0/15`. */
  readonly pool?: string;
  /** Name servers that lookups are forwarded to. Default: those of the host's `/etc/resolv.conf`. */
  readonly upstreams?: readonly Upstream[];
  /**
   * Ranges (`10.0.0.0/8`, `2001:db8::1`) that no policy opens, in addition to the always closed ones. Default: no
   * ranges.
   */
  readonly closed?: readonly string[];
  /**
   * Names or addresses of hosts that no policy opens, such as the instance. They are looked up every minute while there
   * are sandboxes. An address that a host once had stays closed. Default: no hosts.
   */
  readonly closedHosts?: readonly string[];
  /** Looks up the addresses of a closed host. Rejects without an answer. Default: the C library's `getaddrinfo`. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
  /**
   * Absolute path of the network namespace that sandboxes are attached to. Needed when a container engine has another
   * one than the executor. Default: the executor's own.
   */
  readonly networkNamespace?: string;
  /** Reads the connection table of the network that sandboxes are attached to. Default: asks the kernel. */
  readonly connectionTable?: () => Promise<ConnectionTable>;
  /**
   * Receives problems for the administrator's log, such as rules that had to be restored. Default: they are dropped.
   */
  readonly onProblem?: (problem: string) => void;
}

export interface SandboxEgress {
  /** Unique on the machine, `[a-z0-9-]`, at most 60 characters. */
  readonly sandboxId: string;
  readonly policy: ConnectedPolicy;
  /** Called once for each distinct destination or name, at most 100 times, about a second after the attempt. */
  readonly onDenied: (denial: EgressDenial) => void;
}

export interface GuestEgress extends SandboxEgress {
  readonly bandwidth: Bandwidth;
  /**
   * Path of a network namespace with nothing but a tap with the name `guestTap`, whose guest has sent nothing yet. It
   * is not removed with the attachment. Default: a new one.
   */
  readonly namespacePath?: string;
}

/**
 * The network of one sandbox. Disposing closes the network and removes everything that belongs to it. A second disposal
 * is harmless.
 */
export interface EgressAttachment extends AsyncDisposable {
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  readonly address: string;
  readonly ipv6Address: string | null;
  /** Replaces the policy in one transaction. Cuts connections that the new policy does not allow. */
  replacePolicy(policy: ConnectedPolicy): Promise<void>;
  /** Reports denials immediately instead of in the next round. For the end of a step. Never rejects. */
  reportDenied(): Promise<void>;
  /** What passed so far. `undefined`: this process can't see the interface. */
  traffic(): NetworkTraffic | undefined;
}

export interface NamespaceAttachment extends EgressAttachment {
  /** Path of the sandbox's network namespace. */
  readonly namespacePath: string;
}

/** The network of a virtual machine. */
export interface GuestAttachment extends NamespaceAttachment {
  /** The tap in the namespace. The rules pass only frames that a sandbox without privileges could send. */
  readonly tap: string;
  /** Address of the guest's device, the same for all guests. */
  readonly macAddress: string;
  readonly mtu: number;
  /** The guest needs a permanent neighbour entry with this address for its gateways: nothing answers ARP. */
  readonly gatewayMac: string;
  readonly gateway: string;
  /** `null`: the guest has no IPv6. */
  readonly ipv6Gateway: string | null;
}

/** A bridge that a container engine will create. The rules for it are already installed. */
export interface PreparedBridge extends EgressAttachment {
  /** The interface name that the bridge must have (`com.docker.network.bridge.name`). */
  readonly bridgeName: string;
  /** In CIDR notation. {@link gateway} is the bridge's own address and also the name server. */
  readonly subnet: string;
  readonly gateway: string;
  readonly ipv6: { readonly subnet: string; readonly gateway: string } | null;
  /**
   * Sets the bridge's kernel settings and starts DNS. Call it after the bridge exists, and before a container is
   * attached.
   * @throws {AirlockError} reason `policy` when the bridge does not exist: it is in another network, which the rules
   * don't cover.
   */
  activate(): Promise<void>;
}

/** Enforces egress policies in the kernel, outside of sandboxes. There is one engine per owner of sandboxes. */
export interface EgressEngine {
  /** What this host can enforce. Cached after the first call. */
  capabilities(): Promise<EgressCapabilities>;

  /**
   * Gives a sandbox a network namespace with one link, and enforces the policy from the first packet on.
   * @param namespacePath An existing namespace. Default: a new one, which is removed with the attachment.
   * @throws {AirlockError} reason `policy` when the policy can't be enforced here or names destinations that are always
   * closed, `runtime` when the kernel or its tools fail. In both cases nothing is left behind.
   */
  attachNamespace(
    sandbox: SandboxEgress & Abortable & { readonly namespacePath?: string },
  ): Promise<NamespaceAttachment>;

  /**
   * Gives a virtual machine a network namespace with a tap, and enforces the policy from the first frame on. Throws as
   * {@link attachNamespace}.
   */
  attachGuest(sandbox: GuestEgress & Abortable): Promise<GuestAttachment>;

  /** Reserves addresses and installs the rules for a bridge before it exists. Throws as {@link attachNamespace}. */
  prepareBridge(sandbox: SandboxEgress & Abortable): Promise<PreparedBridge>;

  /** Removes links, namespaces and rules of sandboxes that are not in `keep`. Resolves to one line per removed item. */
  collect(options: Abortable & { readonly keep: ReadonlySet<string> }): Promise<readonly string[]>;

  /** Stops the resolver. Removes the rules if the owner has no sandbox left. Dispose all attachments before. */
  close(): Promise<void>;
}
