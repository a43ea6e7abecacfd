// Entry point of the resolver process. It parses messages from hostile sandboxes and name servers, so it must be
// unprivileged. The executor starts it as root in the right network namespace, and it changes its user to nobody here.
// Node's permission model prevents it from writing files and from starting programs. It exits with the executor.
// Without it, names don't resolve, and nothing else changes.
import { errorMessage } from "@airlock/job";
import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { specialRanges } from "../addresses/special-ranges.ts";
import { listen } from "./listener.ts";
import type { FromResolver, ToResolver } from "./messages.ts";
import { QueryBudget } from "./query-budget.ts";
import type { ResolverPolicy } from "./query-policy.ts";
import { type AddressToPin, type Pinned, type QueryContext, resolveQuery } from "./resolve-query.ts";
import { askUpstreams, type Upstream } from "./upstream.ts";
import { UpstreamShare } from "./upstream-share.ts";

const nobody = 65_534;
/** Maximum number of distinct denials to report per sandbox. The executor passes on fewer. */
const maxDenials = 200;

if (process.geteuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(nobody);
  process.setuid?.(nobody);
}

interface Listening {
  policy: ResolverPolicy;
  readonly budget: QueryBudget;
  readonly denials: Set<string>;
  isLimited: boolean;
  socket: AsyncDisposable | undefined;
}

const sandboxes = new Map<number, Listening>();
const upstreamShare = new UpstreamShare<number>();
const pinRequests = new Map<number, (pinned: Pinned | undefined) => void>();
let upstreams: readonly Upstream[] = [];
let closed: readonly IpRange[] = specialRanges;
let port = 0;
let requests = 0;

process.on("disconnect", () => process.exit(0));
// Ctrl-C in a terminal reaches the whole process group, but the executor decides when sandboxes lose their names.
process.on("SIGINT", () => {});
process.on("message", (message: ToResolver) => void receive(message));
send({ kind: "ready" });

async function receive(message: ToResolver): Promise<void> {
  switch (message.kind) {
    case "configure":
      upstreams = message.upstreams;
      closed = [...specialRanges, ...message.closed.map(parseRange)];
      port = message.port;
      send({ kind: "configured", revision: message.revision });
      return;
    case "listen":
      return startListening(message.slot, message.address, message.policy);
    case "unlisten":
      await sandboxes.get(message.slot)?.socket?.[Symbol.asyncDispose]();
      sandboxes.delete(message.slot);
      send({ kind: "unlistened", slot: message.slot });
      return;
    case "pinned":
      pinRequests.get(message.request)?.(
        message.opened === null ? undefined : { opened: new Set(message.opened), isFull: message.isFull },
      );
      pinRequests.delete(message.request);
      return;
  }
}

async function startListening(slot: number, address: string, policy: ResolverPolicy): Promise<void> {
  const known = sandboxes.get(slot);
  if (known) {
    known.policy = policy;
    send({ kind: "listening", slot, problem: null });
    return;
  }
  const sandbox: Listening = {
    policy,
    budget: new QueryBudget(Date.now()),
    denials: new Set(),
    isLimited: false,
    socket: undefined,
  };
  try {
    sandbox.socket = await listen(address, port, async (query, transport) => {
      if (!sandbox.budget.takeQuery(Date.now())) {
        // Dropped instead of refused, so that the program in the sandbox retries a little later.
        if (!sandbox.isLimited) send({ kind: "limited", slot });
        sandbox.isLimited = true;
        return undefined;
      }
      return resolveQuery(query, transport, contextOf(slot, sandbox));
    });
    sandboxes.set(slot, sandbox);
    send({ kind: "listening", slot, problem: null });
  } catch (error) {
    send({ kind: "listening", slot, problem: errorMessage(error) });
  }
}

function contextOf(slot: number, sandbox: Listening): QueryContext {
  return {
    policy: sandbox.policy,
    closed,
    mayAsk: (name) => sandbox.budget.takeName(name, Date.now()),
    ask: (question) => upstreamShare.run(slot, () => askUpstreams(upstreams, question)),
    pin: (addresses, ports) => pin(slot, addresses, ports),
    onDenied: (name, isOverLimit) => {
      const key = isOverLimit ? "over the limit" : name;
      if (sandbox.denials.has(key) || sandbox.denials.size >= maxDenials) return;
      sandbox.denials.add(key);
      send({ kind: "denied", slot, name, isOverLimit });
    },
  };
}

async function pin(
  slot: number,
  addresses: readonly AddressToPin[],
  ports: readonly number[] | null,
): Promise<Pinned | undefined> {
  requests += 1;
  const request = requests;
  const { promise, resolve } = Promise.withResolvers<Pinned | undefined>();
  pinRequests.set(request, resolve);
  send({ kind: "pin", request, slot, addresses, ports });
  return promise;
}

function send(message: FromResolver): void {
  process.send?.(message);
}
