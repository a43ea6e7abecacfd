import type { SandboxService } from "../../contract/sandbox-service.ts";
import { type Frame, GuestViolation, serviceChannel } from "./frames.ts";
import { GuestServiceConnection } from "./guest-service-connection.ts";
import { PayloadReader } from "./payload-reader.ts";

/** As many as the agent has buffers for. Further connections wait in the guest's kernel until one ends. */
const maxConnections = 32;

/** Gives the connections that steps of one guest make to their services to the services' owners. */
export class GuestServices {
  readonly #services: ReadonlyMap<number, SandboxService>;
  readonly #send: (frame: Frame) => Promise<void>;
  readonly #connections = new Map<number, GuestServiceConnection>();
  #lastChannel = serviceChannel;

  constructor(services: readonly SandboxService[], send: (frame: Frame) => Promise<void>) {
    this.#services = new Map(services.map((service) => [service.port, service]));
    this.#send = send;
  }

  /** Number of connections that are open. It is bounded. */
  get size(): number {
    return this.#connections.size;
  }

  /** @throws {AirlockError} reason `runtime` when this frame breaks the protocol. */
  take(frame: Frame): void {
    const { type, channel, payload } = frame;
    const connection = this.#connections.get(channel);
    // An agent that has ended its own direction may have sent these before it read the host's end.
    const isLate = (type === "credit" || (type === "reset" && payload.length === 0)) && channel <= this.#lastChannel;
    if (type === "open") this.#open(channel, payload);
    else if (connection) connection.takeFrame(frame);
    else if (!isLate) throw new GuestViolation(`a frame of type ${type} on a connection that is not open`);
  }

  /** Ends all connections: those of a step do not outlive it. */
  closeAll(): void {
    for (const connection of this.#connections.values()) connection.destroy();
  }

  /** As {@link closeAll}, after the stream to the guest has failed. */
  abandonAll(): void {
    for (const connection of this.#connections.values()) connection.abandon();
  }

  #open(channel: number, payload: Buffer): void {
    const reader = new PayloadReader(payload, "a new connection");
    const port = reader.uint16();
    reader.end();
    const service = this.#services.get(port);
    if (channel !== this.#lastChannel + 1) throw new GuestViolation("a connection out of order");
    if (!service) throw new GuestViolation(`a connection to port ${port}, which has no service`);
    if (this.#connections.size >= maxConnections) throw new GuestViolation("too many connections at once");
    this.#lastChannel = channel;
    const over = () => this.#connections.delete(channel);
    const connection = new GuestServiceConnection(channel, this.#send, over);
    this.#connections.set(channel, connection);
    service.serve(connection);
  }
}
