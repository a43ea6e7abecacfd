import { onAbort } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { FrameWriter, readFrames } from "./frames.ts";
import type { Call, Message, SentError, StagedEntry } from "./messages.ts";
import type { Agent } from "./start-agent.ts";

export interface CallOptions {
  readonly signal: AbortSignal;
  /**
   * Receives output in order. The agent continues to read once it resolves (backpressure). A rejection ends the call
   * with the same error.
   */
  readonly onOutput?: (stream: "stdout" | "stderr", bytes: Buffer) => void | Promise<void>;
  readonly onMessage?: (message: Extract<Message, { type: "progress" | "denied" }>) => void;
  /** Files and other data that the call needs, sent before it. */
  readonly staged?: AsyncIterable<StagedEntry | Buffer>;
}

interface Pending {
  readonly options: CallOptions;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** The first failure on this side. It takes precedence over the agent's answer. */
  failure: { readonly error: unknown } | null;
}

/** Makes calls from the host to the agent over its two pipes, any number at once. */
export class AgentConnection {
  readonly #writer: FrameWriter;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #ended: Error | undefined;

  constructor(agent: Agent) {
    this.#writer = new FrameWriter(agent.stdin);
    void this.#receive(agent);
  }

  /**
   * Makes a call and returns its result.
   * @throws what the agent threw; `signal.reason` when aborted.
   */
  async call(call: Call, options: CallOptions): Promise<unknown> {
    const { signal } = options;
    signal.throwIfAborted();
    if (this.#ended) throw this.#ended;
    this.#calls += 1;
    const id = this.#calls;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const pending: Pending = { options, resolve, reject, failure: null };
    this.#pending.set(id, pending);
    try {
      await this.#stage(id, options);
      await this.#writer.send({ type: "call", id, call });
      using _ = onAbort(signal, () => this.#abort(id, pending, signal.reason));
      return await promise;
    } catch (error) {
      throw pending.failure ? pending.failure.error : error;
    } finally {
      this.#pending.delete(id);
    }
  }

  async #stage(id: number, { staged, signal }: CallOptions): Promise<void> {
    if (!staged) return;
    for await (const entry of staged) {
      signal.throwIfAborted();
      if (Buffer.isBuffer(entry)) await this.#writer.send({ type: "staged-bytes", id }, entry);
      else await this.#writer.send({ type: "stage", id, entry });
    }
  }

  #abort(id: number, pending: Pending, error: unknown): void {
    pending.failure ??= { error };
    this.#writer.send({ type: "abort", id }).catch(pending.reject);
  }

  async #receive(agent: Agent): Promise<void> {
    try {
      for await (const { message, body } of readFrames(agent.stdout)) this.#take(message, body);
      this.#ended = new Error("the agent has ended");
    } catch (error) {
      this.#ended = error instanceof Error ? error : new Error(String(error));
    }
    for (const { reject } of this.#pending.values()) reject(this.#ended);
  }

  #take(message: Message, body: Buffer): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    switch (message.type) {
      case "output":
        void this.#output(message.id, pending, message.stream, body);
        return;
      case "progress":
      case "denied":
        pending.options.onMessage?.(message);
        return;
      case "result":
        pending.resolve(message.value);
        return;
      case "failure":
        pending.reject(received(message.error));
        return;
      default:
        pending.reject(new Error(`the host does not take ${message.type}`));
    }
  }

  async #output(id: number, pending: Pending, stream: "stdout" | "stderr", bytes: Buffer): Promise<void> {
    try {
      await pending.options.onOutput?.(stream, bytes);
    } catch (error) {
      this.#abort(id, pending, error);
    }
    // Acknowledge even after an abort: the agent must not wait for a reader that has gone.
    await this.#writer.send({ type: "taken", id }).catch(pending.reject);
  }
}

function received({ message, code, reason, hint }: SentError): Error {
  if (code === null) return new Error(message);
  return new AirlockError(message, {
    code,
    ...(reason === null ? {} : { reason }),
    ...(hint === null ? {} : { hint }),
  });
}
