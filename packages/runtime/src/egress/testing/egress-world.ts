import { type AllowRule, parseAllowRule } from "@airlock/job";
import type { EgressDenial } from "../../contract/index.ts";
import type { EgressEngine, EgressOptions, NamespaceAttachment } from "../egress-engine.ts";
import { createEgressEngine } from "../nftables-engine.ts";
import type { ConnectedPolicy } from "../policy/compile-policy.ts";
import { type Agent, startAgent } from "./agent.ts";
import type { Zones } from "./agent-messages.ts";
import {
  nameServer,
  otherPublicIpv4,
  publicIpv4,
  publicIpv6,
  startTestNetwork,
  startUncontrolledSandbox,
  type TestNetwork,
} from "./test-network.ts";

/** A test network with an egress engine, and sandboxes whose processes follow a test's requests. */
export interface EgressWorld extends AsyncDisposable {
  readonly network: TestNetwork;
  readonly engine: EgressEngine;
  readonly owner: string;
  /** Can reach everything. Shows that what is closed to a sandbox is closed by the policy. */
  readonly uncontrolled: Awaited<ReturnType<typeof startUncontrolledSandbox>>;
  startSandbox(policy: ConnectedPolicy): Promise<WorldSandbox>;
  /** Creates another engine in the same network. The caller must close it. */
  makeEngine(part: string, options?: EgressOptions): EgressEngine;
}

export interface WorldSandbox extends AsyncDisposable {
  readonly sandboxId: string;
  readonly attachment: NamespaceAttachment;
  /** A process in the sandbox's network namespace. */
  readonly agent: Agent;
  readonly denials: readonly EgressDenial[];
}

export const signal: AbortSignal = new AbortController().signal;
export const upstreams = [{ address: nameServer, port: 53 }];
export const internet: ConnectedPolicy = { kind: "public" };

const a = (data: string, ttl = 300) => ({ type: "A", data, ttl }) as const;
const aaaa = (data: string) => ({ type: "AAAA", data, ttl: 300 }) as const;
export const zones: Zones = {
  "public.example.com A": [[a(publicIpv4)]],
  "public.example.com AAAA": [[aaaa(publicIpv6)]],
  "public.example.com TXT": [[{ type: "TXT", data: "hello", ttl: 300 }]],
  "mail.example.com MX": [[{ type: "MX", data: "public.example.com", ttl: 300 }]],
  "private.example.com A": [[a("10.99.0.2")]],
  "mixed.example.com A": [[a("10.99.0.2"), a(publicIpv4), a("169.254.169.254")]],
  "rebinding.example.com A": [[a(publicIpv4, 0)], [a("10.99.0.2", 0)]],
  "alias.example.com A": [
    [
      { type: "CNAME", data: "target.example.net", ttl: 300 },
      { ...a(publicIpv4), owner: "target.example.net" },
    ],
  ],
  "alias-to-private.example.com A": [
    [
      { type: "CNAME", data: "inside.example.net", ttl: 300 },
      { ...a("192.168.7.7"), owner: "inside.example.net" },
    ],
  ],
  "poison.example.com A": [[a(publicIpv4), { ...a(otherPublicIpv4), owner: "bank.example.net" }]],
  "mapped.example.com AAAA": [
    [aaaa("::ffff:10.99.0.2"), aaaa("64:ff9b::a63:2"), aaaa("2002:a63:2::1"), aaaa("fe80::1")],
  ],
  "other.example.org A": [[a(otherPublicIpv4)]],
  "deep.sub.example.org A": [[a(otherPublicIpv4)]],
  "*.tunnel.example.org A": [[a(publicIpv4)]],
  ...Object.fromEntries(
    Array.from({ length: 6 }, (_, room) => [`${room}.rooms.example.org A`, [[a(`45.47.0.${room}`, 0)]]]),
  ),
  "wide.example.org A": [Array.from({ length: 32 }, (_, index) => a(`45.46.0.${index}`, 0))],
};

export function allow(...rules: readonly string[]): ConnectedPolicy {
  return { kind: "allow", rules: rules.map((text) => parseAllowRule(text) as AllowRule) };
}

/** Names of namespaces are global to the machine, so concurrent test runs need different owners. */
export function ownerOf(part: string): string {
  return `egress-${part}-${process.pid}`;
}

export function gatewayOf({ resolvConf }: { readonly resolvConf: string }): string {
  return /nameserver (\S+)/.exec(resolvConf)?.[1] ?? "";
}

export function lookUp(
  { attachment, agent }: { readonly attachment: { readonly resolvConf: string }; readonly agent: Agent },
  name: string,
  type = "A",
): Promise<readonly string[]> {
  return agent.ask({ op: "dns", server: gatewayOf(attachment), name, type });
}

/** @param part Distinguishes the worlds of one process. */
export async function startEgressWorld(part: string): Promise<EgressWorld> {
  await using cleanup = new AsyncDisposableStack();
  const network = cleanup.use(await startTestNetwork());
  await network.internet.ask({ op: "name-server", address: nameServer, zones });
  const uncontrolled = cleanup.use(await startUncontrolledSandbox(network));
  const owner = ownerOf(part);
  const makeEngine = (name: string, options: EgressOptions = {}) =>
    createEgressEngine({ owner: ownerOf(name), networkNamespace: network.hostPath, upstreams, ...options });
  const engine = makeEngine(part);
  cleanup.defer(() => engine.close());
  const owned = cleanup.move();
  let count = 0;
  return {
    network,
    engine,
    owner,
    uncontrolled,
    makeEngine,
    startSandbox: (policy) => {
      count += 1;
      return startSandbox(engine, `sandbox-${count}`, policy);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Attaches a sandbox to the caller's engine. */
export async function startSandbox(
  engine: EgressEngine,
  sandboxId: string,
  policy: ConnectedPolicy,
): Promise<WorldSandbox> {
  await using undo = new AsyncDisposableStack();
  const denials: EgressDenial[] = [];
  const onDenied = (denial: EgressDenial) => void denials.push(denial);
  const attachment = undo.use(await engine.attachNamespace({ sandboxId, policy, onDenied, signal }));
  const agent = undo.use(await startAgent(attachment.namespacePath));
  const owned = undo.move();
  return { sandboxId, attachment, agent, denials, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
