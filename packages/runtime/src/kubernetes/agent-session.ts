import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { pause } from "@airlock/async";
import { runtimeFailed } from "../contract/errors.ts";

/** One connection to the session of a pod's agent. It may break at any time. */
export interface AgentLink {
  send(bytes: Buffer): void;
  close(): void;
}

export interface AgentLinkEvents {
  readonly onData: (bytes: Buffer) => void;
  readonly onClose: (reason: Error) => void;
}

export interface AgentSessionOptions {
  /** Opens a connection. @throws {Error} when the API server can't be reached. */
  readonly connect: (events: AgentLinkEvents) => Promise<AgentLink>;
  /** How long the agent may be out of reach. */
  readonly giveUpMs: number;
}

/** Bytes that each side keeps until the other one has acknowledged them. */
const windowBytes = 262_144;
/** What is received is acknowledged after so many bytes, long before the agent's window is full. */
const acknowledgeBytes = 65_536;
const segmentHeader = 5;
const helloBytes = 24;
const maxSegment = 65_536;
const askEveryMs = 10_000;
const silentMs = 30_000;
const firstPauseMs = 50;
const longestPauseMs = 5_000;

const types = { hello: 0x48, data: 0x44, acknowledged: 0x41 } as const;

/**
 * The stream to the agent of a pod, which survives the loss of its connections. Each side sends again what the other one
 * has not acknowledged, and stops when the window is full. So an API server that is away delays the stream, and loses
 * nothing.
 */
export class AgentSession extends Duplex {
  readonly #options: AgentSessionOptions;
  readonly #key = randomBytes(16);
  readonly #over = new AbortController();
  #link: AgentLink | null = null;
  #greeted = false;
  #heardAt = performance.now();
  #reachedAt = performance.now();
  /** Bytes that the agent has not acknowledged; the first one has the number `#acknowledged`. */
  #unacknowledged: Buffer[] = [];
  #acknowledged = 0;
  /** The end of `#unacknowledged` that was not sent on this connection. */
  #unsent: Buffer[] = [];
  #sending: NodeJS.Immediate | null = null;
  #produced = 0;
  #received = 0;
  /** What the agent knows to be received. */
  #told = 0;
  #waiting: (() => void) | null = null;
  #input: Buffer = Buffer.alloc(0);

  constructor(options: AgentSessionOptions) {
    super();
    this.#options = options;
    void this.#keepConnected();
  }

  /** When the agent's last bytes came, as `performance.now()`. */
  get heardAt(): number {
    return this.#reachedAt;
  }

  /** Makes an agent that can be reached answer. */
  ask(): void {
    this.#acknowledge();
  }

  override _read(): void {
    if (this.#received - this.#told >= acknowledgeBytes) this.#acknowledge();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#unacknowledged.push(chunk);
    this.#produced += chunk.length;
    this.#unsent.push(chunk);
    // Many small frames are written at once. Each message costs a way through API server and kubelet.
    this.#sending ??= setImmediate(() => this.#sendUnsent());
    if (this.#produced - this.#acknowledged < windowBytes) callback();
    else this.#waiting = callback;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#over.abort();
    this.#link?.close();
    this.#link = null;
    callback(error);
  }

  async #keepConnected(): Promise<void> {
    let wait = firstPauseMs;
    while (!this.#over.signal.aborted) {
      const closed = Promise.withResolvers<Error>();
      try {
        this.#input = Buffer.alloc(0);
        this.#greeted = false;
        const link = await this.#options.connect({
          onData: (bytes) => this.#receive(bytes),
          onClose: (reason) => closed.resolve(reason),
        });
        if (this.#over.signal.aborted) return link.close();
        this.#link = link;
        this.#heardAt = performance.now();
        this.#send(types.hello, Buffer.concat([this.#key, uint64(this.#received)]));
        if (await this.#untilSilent(closed.promise)) wait = firstPauseMs;
      } catch {
        // The API server is away, or the container does not run yet.
      } finally {
        this.#link?.close();
        this.#link = null;
      }
      if (performance.now() - this.#reachedAt > this.#options.giveUpMs) {
        this.destroy(runtimeFailed("the agent of the job's pod is out of reach"));
        return;
      }
      await pause(wait, this.#over.signal);
      wait = Math.min(wait * 2, longestPauseMs);
    }
  }

  /** Waits until the connection is closed or silent. Returns whether the agent ever answered. */
  async #untilSilent(closed: Promise<Error>): Promise<boolean> {
    const asking = setInterval(() => {
      if (performance.now() - this.#heardAt > silentMs) this.#link?.close();
      else this.#acknowledge();
    }, askEveryMs);
    try {
      await Promise.race([closed, this.#ended()]);
    } finally {
      clearInterval(asking);
    }
    return this.#greeted;
  }

  #ended(): Promise<void> {
    const { signal } = this.#over;
    return new Promise((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #receive(bytes: Buffer): void {
    this.#heardAt = this.#reachedAt = performance.now();
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
    let start = 0;
    while (this.#input.length - start >= segmentHeader) {
      const type = this.#input[start];
      const length = this.#input.readUInt32BE(start + 1);
      if (length > maxSegment) {
        this.#fail("too long a segment");
        return;
      }
      if (this.#input.length - start < segmentHeader + length) break;
      const payload = this.#input.subarray(start + segmentHeader, start + segmentHeader + length);
      start += segmentHeader + length;
      this.#take(type, payload);
      if (this.destroyed) return;
    }
    this.#input = this.#input.subarray(start);
  }

  #take(type: number | undefined, payload: Buffer): void {
    if (type === types.hello && payload.length === helloBytes && !this.#greeted) {
      this.#takeHello(payload);
    } else if (type === types.acknowledged && payload.length === 8 && this.#greeted) {
      this.#forget(payload.readBigUInt64BE(0));
    } else if (type === types.data && this.#greeted) {
      this.#received += payload.length;
      const isTaken = this.push(payload);
      if (isTaken && this.#received - this.#told >= acknowledgeBytes) this.#acknowledge();
    } else {
      this.#fail("an unknown segment");
    }
  }

  #takeHello(payload: Buffer): void {
    if (!payload.subarray(0, 16).equals(this.#key)) this.#fail("the greeting of another session");
    else if (this.#forget(payload.readBigUInt64BE(16))) {
      this.#greeted = true;
      this.#unsent = [...this.#unacknowledged];
      this.#sendUnsent();
    }
  }

  /** Drops what the agent has taken. Returns whether its claim is possible. */
  #forget(total: bigint): boolean {
    const count = Number(total);
    if (count < this.#acknowledged || count > this.#produced) {
      this.#fail("an impossible acknowledgement");
      return false;
    }
    let left = count - this.#acknowledged;
    this.#acknowledged = count;
    while (left > 0) {
      const first = this.#unacknowledged[0];
      if (first === undefined) break;
      if (first.length > left) {
        this.#unacknowledged[0] = first.subarray(left);
        break;
      }
      left -= first.length;
      this.#unacknowledged.shift();
    }
    if (this.#waiting && this.#produced - this.#acknowledged < windowBytes) {
      const proceed = this.#waiting;
      this.#waiting = null;
      proceed();
    }
    return true;
  }

  #acknowledge(): void {
    if (!this.#greeted) return;
    this.#told = this.#received;
    this.#send(types.acknowledged, uint64(this.#received));
  }

  #sendUnsent(): void {
    this.#sending = null;
    if (!this.#greeted) return;
    const bytes = Buffer.concat(this.#unsent);
    this.#unsent = [];
    for (let at = 0; at < bytes.length; at += maxSegment)
      this.#send(types.data, bytes.subarray(at, Math.min(at + maxSegment, bytes.length)));
  }

  #send(type: number, payload: Buffer): void {
    const head = Buffer.alloc(segmentHeader);
    head[0] = type;
    head.writeUInt32BE(payload.length, 1);
    this.#link?.send(Buffer.concat([head, payload]));
  }

  #fail(problem: string): void {
    this.destroy(runtimeFailed(`the agent of the job's pod broke the protocol: ${problem}`));
  }
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
