import type { Duplex } from "node:stream";
import { refusedByPolicy } from "./errors.ts";

/** A TCP port on 127.0.0.1 of a sandbox. The caller answers it. */
export interface SandboxService {
  /** 1 to 65535. */
  readonly port: number;
  /**
   * Receives each connection of the sandbox as a byte stream. What it says is untrusted, and nothing limits how many
   * connections there are. The runtime destroys the streams with the sandbox.
   */
  readonly serve: (connection: Duplex) => void;
}

/** @throws {AirlockError} reason `policy` when a plan has services and the runtime has a reason not to offer them. */
export function refuseServices(services: readonly SandboxService[], problem: string | null): void {
  if (services.length === 0 || problem === null) return;
  throw refusedByPolicy("this executor can't give jobs a connection to the instance", problem);
}
