import type { Duplex } from "node:stream";
import { onAbort, startTimer } from "@airlock/async";
import { runtimeFailed } from "../../contract/errors.ts";
import type { SandboxService } from "../../contract/sandbox-service.ts";
import { encodeFrame, type Frame, FrameDecoder, GuestViolation, helloPayload, serviceChannel } from "./frames.ts";
import { type CallOptions, GuestCall } from "./guest-call.ts";
import { GuestServices } from "./guest-services.ts";
import { PayloadReader } from "./payload-reader.ts";

/** How long the agent may take for its greeting. */
const greetMs = 10_000;
/** More calls at once than any caller makes. */
const maxCalls = 64;
/** More frames than answer everything that an honest agent may send before it reads. */
const maxQueuedFrames = 32_768;

/**
 * The host's end of the stream to a guest agent. The guest is hostile: whatever it sends, this keeps at most one partial
 * frame, and the granted credit of each call. A violation of the protocol destroys the stream and rejects all calls.
 */
export class GuestConnection implements Disposable {
  readonly #stream: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly #calls = new Map<number, GuestCall>();
  readonly #greeted = Promise.withResolvers<void>();
  #services = new GuestServices([], (frame) => this.send(frame));
  #lastChannel = 0;
  #hasGreeted = false;
  #queuedFrames = 0;
  /** Resolves when the stream accepts more data, or has failed. */
  #drain: PromiseWithResolvers<void> | null = null;
  #failure: Error | null = null;

  /** Takes over the stream, which must carry nothing else. */
  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#greeted.promise.catch(() => {});
    stream.on("data", (bytes: Buffer) => this.#receive(bytes));
    stream.on("drain", () => this.#endWaits());
    stream.on("error", (error) => this.#fail(runtimeFailed("the stream to the guest failed", error)));
    stream.on("close", () => this.#fail(runtimeFailed("the guest closed the stream to its agent")));
    stream.on("end", () => this.#fail(runtimeFailed("the guest closed the stream to its agent")));
  }

  /** Number of calls that wait for their end, bytes of a partial frame, and open connections. All are bounded. */
  get held(): { readonly calls: number; readonly bytes: number; readonly connections: number } {
    return { calls: this.#calls.size, bytes: this.#decoder.waitingBytes, connections: this.#services.size };
  }

  /** Answers the services of the guest's steps from now on. To be called once, before the first step. */
  serve(services: readonly SandboxService[]): void {
    this.#services = new GuestServices(services, (frame) => this.send(frame));
  }

  /** Ends the connections of a step that has ended. */
  closeConnections(): void {
    this.#services.closeAll();
  }

  /**
   * Exchanges the versions.
   * @throws {AirlockError} reason `runtime` when the agent does not greet within 10 s or has another version.
   */
  async greet(signal: AbortSignal): Promise<void> {
    using _abort = onAbort(signal, () => this.#fail(signal.reason));
    using _timer = startTimer(greetMs, () => this.#fail(runtimeFailed("the guest agent did not greet within 10 s")));
    await this.#greeted.promise;
    await this.send({ type: "hello", channel: 0, payload: helloPayload });
  }

  /**
   * Makes a call and returns its parsed result, after everything that the agent sent was taken. Default of `parse`: the
   * result must be empty.
   * @throws {GuestCallError} when the agent answers with an error.
   * @throws {AirlockError} reason `runtime` when the guest is silent, gone, or breaks the protocol.
   * @throws `signal.reason` when aborted.
   */
  async call(payload: Buffer, options: CallOptions): Promise<void>;
  async call<T>(payload: Buffer, options: CallOptions, parse: (result: PayloadReader) => T): Promise<T>;
  async call<T>(payload: Buffer, options: CallOptions, parse?: (result: PayloadReader) => T): Promise<T | undefined> {
    options.signal.throwIfAborted();
    if (this.#failure) throw this.#failure;
    if (this.#calls.size >= maxCalls) throw runtimeFailed(`more than ${maxCalls} calls to one guest at once`);
    this.#lastChannel += 1;
    const channel = this.#lastChannel;
    const call = new GuestCall(
      channel,
      options,
      (frame) => this.send(frame),
      (error) => this.#fail(error),
    );
    this.#calls.set(channel, call);
    try {
      const result = new PayloadReader(await call.run(payload), "a result");
      const parsed = parse?.(result);
      result.end();
      return parsed;
    } catch (error) {
      if (error instanceof GuestViolation) this.#fail(error);
      throw error;
    } finally {
      this.#calls.delete(channel);
    }
  }

  /** Resolves when the stream accepts more data (backpressure). */
  async send(frame: Frame): Promise<void> {
    if (this.#failure) throw this.#failure;
    // Grants and ends of connections don't wait. So a guest that never reads could fill the memory with them.
    if (this.#queuedFrames >= maxQueuedFrames) this.#fail(new GuestViolation("it does not read what it asks for"));
    if (this.#failure) throw this.#failure;
    this.#queuedFrames += 1;
    const written = () => {
      this.#queuedFrames -= 1;
    };
    if (this.#stream.write(encodeFrame(frame), written)) return;
    // Shared, because a listener for each waiting frame would take quadratic time to remove.
    this.#drain ??= Promise.withResolvers<void>();
    await this.#drain.promise;
    if (this.#failure) throw this.#failure;
  }

  [Symbol.dispose](): void {
    this.#fail(runtimeFailed("the connection to the guest was closed"));
  }

  #receive(bytes: Buffer): void {
    if (this.#failure) return;
    try {
      for (const frame of this.#decoder.push(bytes)) this.#take(frame);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #take(frame: Frame): void {
    if (!this.#hasGreeted) {
      if (frame.type !== "hello" || frame.channel !== 0) throw new GuestViolation("no greeting");
      if (!frame.payload.equals(helloPayload)) throw new GuestViolation("an agent of another version");
      this.#hasGreeted = true;
      this.#greeted.resolve();
      return;
    }
    if (frame.channel >= serviceChannel) this.#services.take(frame);
    else this.#takeOfCall(frame);
  }

  #takeOfCall(frame: Frame): void {
    const call = this.#calls.get(frame.channel);
    if (!call) throw new GuestViolation(`a frame for channel ${frame.channel}, on which no call waits`);
    call.take(frame);
    if (call.hasEnded) this.#calls.delete(frame.channel);
  }

  #endWaits(): void {
    this.#drain?.resolve();
    this.#drain = null;
  }

  /** The first failure is kept. It ends everything. */
  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#decoder.clear();
    this.#stream.destroy();
    this.#endWaits();
    this.#greeted.reject(error);
    for (const call of this.#calls.values()) call.fail(error);
    this.#calls.clear();
    this.#services.abandonAll();
  }
}
