import type { Duplex } from "node:stream";
import type { EgressDenial, SandboxService } from "../contract/index.ts";
import type { IpRange } from "../egress/addresses/ip-range.ts";
import { specialRanges } from "../egress/addresses/special-ranges.ts";
import { filterAnswer } from "../egress/dns/answer-filter.ts";
import { QueryBudget } from "../egress/dns/query-budget.ts";
import { decideQuery, type ResolverPolicy } from "../egress/dns/query-policy.ts";
import { type QueryContext, resolveQuery } from "../egress/dns/resolve-query.ts";
import { askUpstreams, type Upstream } from "../egress/dns/upstream.ts";
import type { UpstreamShare } from "../egress/dns/upstream-share.ts";
import type { CompiledPolicy } from "../egress/policy/compile-policy.ts";
import { DenialReporter } from "../egress/rules/denied-destinations.ts";
import type { PodNetwork } from "./pod-network.ts";

const dnsPort = 53;
/** The agent sets it in the length of a query that came over UDP. */
const overUdp = 0x80_00;
/** Much more data than one query is a flood. */
const maxReceived = 4_096;
const idleMs = 5_000;
/** An allow-list with more names opens the addresses of the others when they are looked up. */
const maxLookUpsAhead = 64;
const lookUpAheadMs = 3_000;

export interface PodResolverOptions {
  readonly network: PodNetwork;
  readonly closed: readonly IpRange[];
  readonly upstreams: readonly Upstream[];
  /** Shared by all sandboxes. */
  readonly share: UpstreamShare<object>;
  readonly onDenied: ((denial: EgressDenial) => void) | undefined;
}

/**
 * Answers the DNS queries of one pod. It runs in the executor, so a step can only ask it. It opens the addresses of an
 * allowed name in the pod's policy before the pod learns them.
 */
export class PodResolver {
  readonly #options: PodResolverOptions;
  readonly #policy: ResolverPolicy;
  readonly #budget = new QueryBudget(Date.now());
  readonly #denials: DenialReporter;

  constructor(options: PodResolverOptions, policy: CompiledPolicy) {
    this.#options = options;
    this.#policy = policy;
    this.#denials = new DenialReporter(options.onDenied ?? (() => {}));
  }

  /** The pod's name server. Its agent passes on what comes over UDP. */
  get service(): SandboxService {
    return { port: dnsPort, serve: (connection) => void this.#serve(connection) };
  }

  /** Looks up the names of the allow-list, so that the pod starts with their addresses opened. Never rejects. */
  async lookUpAhead(signal: AbortSignal): Promise<void> {
    if (this.#policy.kind !== "allow") return;
    const names = new Set(this.#policy.names.filter(({ subdomains }) => !subdomains).map(({ name }) => name));
    const over = AbortSignal.any([signal, AbortSignal.timeout(lookUpAheadMs)]);
    const lookUps = [...names].slice(0, maxLookUpsAhead).map((name) => this.#lookUpAhead(name, over));
    const ended = new Promise<void>((resolve) => {
      if (over.aborted) resolve();
      else over.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([Promise.all(lookUps), ended]);
  }

  async #lookUpAhead(name: string, over: AbortSignal): Promise<void> {
    await Promise.all(
      ["A", "AAAA"].map(async (type) => {
        const decision = decideQuery(this.#policy, name, type);
        if (decision.kind !== "forward" || decision.ports === undefined) return;
        const response = await this.#context.ask({ name, type });
        const { addresses } = filterAnswer({ name, type }, response?.answers ?? [], this.#closed);
        // A later answer is not part of the policy with which the pod starts.
        if (!over.aborted) this.#options.network.include(addresses, decision.ports);
      }),
    );
  }

  async #serve(connection: Duplex): Promise<void> {
    const idle = setTimeout(() => connection.destroy(), idleMs);
    let received = Buffer.alloc(0);
    try {
      for await (const chunk of connection) {
        received = Buffer.concat([received, chunk as Buffer]);
        if (received.length > maxReceived) return;
        for (let length = lengthOf(received); received.length >= 2 + length; length = lengthOf(received)) {
          const transport = (received.readUInt16BE(0) & overUdp) === 0 ? "tcp" : "udp";
          const answer = await this.#answer(received.subarray(2, 2 + length), transport);
          if (answer === undefined) return;
          const head = Buffer.alloc(2);
          head.writeUInt16BE(answer.length);
          connection.write(Buffer.concat([head, answer]));
          received = received.subarray(2 + length);
          idle.refresh();
        }
      }
    } catch {
      // The step, or the pod, has ended the connection.
    } finally {
      clearTimeout(idle);
      connection.destroy();
    }
  }

  /** Returns `undefined` for what gets no answer. */
  async #answer(query: Buffer, transport: "udp" | "tcp"): Promise<Buffer | undefined> {
    if (this.#budget.takeQuery(Date.now())) return await resolveQuery(query, transport, this.#context);
    this.#denials.add({ kind: "limit", limit: "look-ups" });
    return undefined;
  }

  get #closed(): readonly IpRange[] {
    return [...specialRanges, ...this.#options.closed];
  }

  get #context(): QueryContext {
    const { network, upstreams, share } = this.#options;
    return {
      policy: this.#policy,
      closed: this.#closed,
      mayAsk: (name) => this.#budget.takeName(name, Date.now()),
      ask: (question) => share.run(this, () => askUpstreams(upstreams, question)),
      pin: (addresses, ports) => network.open(addresses, ports),
      onDenied: (name, isOverLimit) =>
        this.#denials.add({ kind: "name", name, ...(isOverLimit ? { isOverLimit } : {}) }),
    };
  }
}

/** Of the first query; infinite before its length has arrived. */
function lengthOf(received: Buffer): number {
  return received.length < 2 ? Number.POSITIVE_INFINITY : received.readUInt16BE(0) & ~overUdp;
}
