import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type EgressDenial, runtimeFailed } from "../../contract/index.ts";
import { formatRange, type IpRange } from "../addresses/ip-range.ts";
import type { HostNetwork } from "../host/host-network.ts";
import { toolEnv } from "../host/run-tool.ts";
import type { FromResolver, ToResolver } from "./messages.ts";
import type { ResolverPolicy } from "./query-policy.ts";
import type { Upstream } from "./upstream.ts";

export interface ResolverOptions {
  readonly network: HostNetwork;
  /** Reads the name servers. Called when the process starts. */
  readonly upstreams: () => Promise<readonly Upstream[]>;
  /** The ranges that no answer may contain at the moment. */
  readonly closed: () => readonly IpRange[];
  readonly port: number;
  /** Opens addresses, as many as the sandbox has room for. If it rejects, the lookup fails. */
  readonly onPin: (request: PinRequest) => Promise<{ readonly addresses: readonly string[]; readonly isFull: boolean }>;
  readonly onDenied: (slot: number, denial: EgressDenial) => void;
}

type PinRequest = Extract<FromResolver, { kind: "pin" }>;

interface Listener {
  readonly address: string;
  readonly policy: ResolverPolicy;
}

// The resolver reads hostile packets, so its messages are validated as if it were hostile.
const Message = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.literal("configured"), revision: z.int() }),
  z.object({ kind: z.literal("listening"), slot: z.int(), problem: z.string().max(1000).nullable() }),
  z.object({ kind: z.literal("unlistened"), slot: z.int() }),
  z.object({
    kind: z.literal("pin"),
    request: z.int(),
    slot: z.int(),
    addresses: z
      .array(
        z.object({
          family: z.union([z.literal(4), z.literal(6)]),
          address: z.union([z.ipv4(), z.ipv6()]),
          ttl: z.int().min(0).max(3600),
        }),
      )
      .max(64),
    ports: z.array(z.int().min(1).max(65_535)).max(1000).nullable(),
  }),
  z.object({
    kind: z.literal("denied"),
    slot: z.int(),
    name: z
      .string()
      .max(253)
      .regex(/^[a-z0-9._-]+$/),
    isOverLimit: z.boolean(),
  }),
  z.object({ kind: z.literal("limited"), slot: z.int() }),
]) satisfies z.ZodType<FromResolver>;

/** In a bundle, the resolver is a file next to this one. */
const program = fileURLToPath(
  import.meta.url.endsWith(".ts")
    ? new URL("./resolver-main.ts", import.meta.url)
    : new URL("./egress-resolver.mjs", import.meta.url),
);
const startTimeoutMs = 15_000;
const answerTimeoutMs = 10_000;
const restartDelayMs = 200;
/** An unused resolver costs 45 MB of memory, and starting one takes only a tenth of a second. */
const idleMs = 60_000;

/**
 * Manages the resolver process. Starts it with the first sandbox, restarts it when it dies, and ends it when no sandbox
 * needs it. While it is not running, lookups fail immediately.
 */
export class ResolverProcess {
  readonly #options: ResolverOptions;
  readonly #listeners = new Map<number, Listener>();
  readonly #answers = new Map<string, (problem: string | null) => void>();
  #upstreams: readonly Upstream[] = [];
  #revision = 0;
  #child: Promise<ChildProcess> | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Process id of the resolver; `undefined` while it is not running. */
  async pid(): Promise<number | undefined> {
    return (await this.#child)?.pid;
  }

  /** Resolves when the resolver listens on `address`. A second call for a slot replaces its policy. */
  async listen(slot: number, listener: Listener): Promise<void> {
    clearTimeout(this.#idle);
    this.#listeners.set(slot, listener);
    try {
      await this.#listen(await this.#started(), slot, listener);
    } catch (error) {
      await this.unlisten(slot);
      throw error;
    }
  }

  /** Resolves when the address is free. */
  async unlisten(slot: number): Promise<void> {
    this.#listeners.delete(slot);
    const child = await this.#child?.catch(() => undefined);
    // A resolver that does not answer is killed, which also frees the address.
    if (child?.connected) {
      await this.#request(child, `unlistened ${slot}`, { kind: "unlisten", slot }).catch(() => once(child, "exit"));
    }
    if (this.#listeners.size > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#end(), idleMs).unref();
  }

  /** Ends the process, until the next call of {@link listen}. */
  async stop(): Promise<void> {
    clearTimeout(this.#idle);
    this.#listeners.clear();
    await this.#end();
  }

  async #end(): Promise<void> {
    const ending = this.#child;
    this.#child = undefined;
    const child = await ending?.catch(() => undefined);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  #started(): Promise<ChildProcess> {
    if (this.#child === undefined) {
      const starting = this.#start();
      this.#child = starting;
      starting.catch(() => {
        if (this.#child === starting) this.#child = undefined;
      });
    }
    return this.#child;
  }

  async #start(): Promise<ChildProcess> {
    this.#upstreams = await this.#options.upstreams();
    const [file = "", ...args] = this.#options.network.command(
      // The minimum to read its own files and to change its user. Changing the user drops these capabilities.
      ...["setpriv", "--no-new-privs", "--bounding-set", "-all,+setuid,+setgid,+dac_read_search", "--"],
      ...[process.execPath, "--permission", "--allow-fs-read=*", "--max-old-space-size=64", program],
    );
    const child = spawn(file, args, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: toolEnv,
      cwd: "/",
      // A separate process group, because Ctrl-C in a terminal is meant for the executor.
      detached: true,
    });
    let words = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      words = (words + chunk.toString("utf8")).slice(-2000);
    });
    // Ignore errors of sending to a dead process. Its exit is handled separately.
    child.on("error", () => {});
    child.once("exit", () => this.#onExit(child));
    const ready = new Promise<void>((resolve) => {
      child.on("message", (message) => {
        const parsed = Message.safeParse(message);
        if (!parsed.success) child.kill("SIGKILL");
        else if (parsed.data.kind === "ready") resolve();
        else this.#receive(child, parsed.data);
      });
    });
    const failed = Promise.withResolvers<never>();
    const fail = () => failed.reject(runtimeFailed("the egress resolver did not start", new Error(words.trim())));
    child.once("exit", fail);
    child.once("error", fail);
    try {
      await Promise.race([ready, failed.promise, timeout(startTimeoutMs, "the egress resolver did not start")]);
      await this.#configure(child);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
    // From here on, the exit handler restarts the resolver.
    failed.promise.catch(() => {});
    return child;
  }

  /**
   * Resolves when no answer contains the ranges that are closed now. Never rejects: a resolver that does not confirm
   * this is killed.
   */
  async configure(): Promise<void> {
    const child = await this.#child?.catch(() => undefined);
    if (child?.connected) await this.#configure(child).catch(() => {});
  }

  async #configure(child: ChildProcess): Promise<void> {
    const { closed, port } = this.#options;
    this.#revision += 1;
    const revision = this.#revision;
    const problem = await this.#request(child, `configured ${revision}`, {
      ...{ kind: "configure", revision, port },
      upstreams: this.#upstreams,
      closed: closed().map(formatRange),
    });
    if (problem !== null) throw new Error(problem);
  }

  #onExit(child: ChildProcess): void {
    for (const answer of this.#answers.values()) answer("the egress resolver ended");
    this.#answers.clear();
    void this.#child?.then(
      (current) => {
        if (current !== child) return;
        this.#child = undefined;
        void this.#restart();
      },
      () => {},
    );
  }

  async #restart(): Promise<void> {
    for (let failures = 1; this.#listeners.size > 0; failures += 1) {
      await sleep(restartDelayMs * failures, undefined, { ref: false });
      try {
        const child = await this.#started();
        await Promise.all([...this.#listeners].map(([slot, listener]) => this.#listen(child, slot, listener)));
        return;
      } catch {
        // Try again after a longer delay. Without a resolver, names stay closed, as they should.
      }
    }
  }

  async #listen(child: ChildProcess, slot: number, listener: Listener): Promise<void> {
    const problem = await this.#request(child, `listening ${slot}`, { kind: "listen", slot, ...listener });
    if (problem === null) return;
    throw runtimeFailed(
      `the egress resolver cannot listen on ${listener.address}`,
      new Error(problem),
      "Check which program uses that address, or choose another address pool.",
    );
  }

  /**
   * Sends a request. Kills a process that does not answer, because its successor is configured before it answers any
   * query.
   */
  async #request(child: ChildProcess, key: string, message: ToResolver): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.#answers.set(key, resolve);
    send(child, message);
    try {
      return await Promise.race([promise, timeout(answerTimeoutMs, "the egress resolver does not respond")]);
    } catch (error) {
      this.#answers.delete(key);
      child.kill("SIGKILL");
      throw error;
    }
  }

  #answer(key: string, problem: string | null): void {
    this.#answers.get(key)?.(problem);
    this.#answers.delete(key);
  }

  #receive(child: ChildProcess, message: FromResolver): void {
    switch (message.kind) {
      case "ready":
        return;
      case "configured":
        this.#answer(`configured ${message.revision}`, null);
        return;
      case "listening":
        this.#answer(`listening ${message.slot}`, message.problem);
        return;
      case "unlistened":
        this.#answer(`unlistened ${message.slot}`, null);
        return;
      case "pin":
        void this.#options.onPin(message).then(
          ({ addresses, isFull }) =>
            send(child, { kind: "pinned", request: message.request, opened: addresses, isFull }),
          () => send(child, { kind: "pinned", request: message.request, opened: null, isFull: false }),
        );
        return;
      case "denied": {
        const { slot, name, isOverLimit } = message;
        this.#options.onDenied(slot, { kind: "name", name, ...(isOverLimit ? { isOverLimit } : {}) });
        return;
      }
      case "limited":
        this.#options.onDenied(message.slot, { kind: "limit", limit: "look-ups" });
        return;
    }
  }
}

/** Ignores a process that has disconnected. */
function send(child: ChildProcess, message: ToResolver): void {
  if (child.connected) child.send(message, () => {});
}

async function timeout(ms: number, what: string): Promise<never> {
  await sleep(ms, undefined, { ref: false });
  throw runtimeFailed(what, new Error(`no answer within ${ms} ms`));
}
