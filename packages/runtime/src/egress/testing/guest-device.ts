import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import { loadNetworkCalls } from "../../host/network-calls.ts";
import type { GuestAttachment } from "../egress-engine.ts";

/** A guest's network device, for tests: sends any frame through the tap, as root of a guest can. */
export interface GuestDevice extends AsyncDisposable {
  send(frame: Buffer): void;
  /** The frames that the guest has received, one after the other. */
  received(): Buffer;
  /** Resolves when the guest has received these bytes at or behind an offset. */
  waitFor(bytes: string, offset: number): Promise<void>;
}

export async function openGuestDevice({ namespacePath, tap }: GuestAttachment): Promise<GuestDevice> {
  const calls = await loadNetworkCalls();
  if ("problem" in calls) throw new Error(calls.problem);
  const namespace = openSync(namespacePath, "r");
  const descriptor = calls.openTap(namespace, tap);
  closeSync(namespace);
  // Each read returns one frame and waits for it.
  const reader = spawn("cat", { stdio: [descriptor, "pipe", "inherit"] });
  const received: Buffer[] = [];
  const { stdout } = reader;
  if (!stdout) throw new Error("the reader has no output");
  stdout.on("data", (bytes: Buffer) => received.push(bytes));
  return {
    send: (frame) => void writeSync(descriptor, frame),
    received: () => Buffer.concat(received),
    async waitFor(bytes, offset) {
      while (!Buffer.concat(received).includes(bytes, offset)) await once(stdout, "data");
    },
    async [Symbol.asyncDispose]() {
      reader.kill("SIGKILL");
      await once(reader, "exit");
      closeSync(descriptor);
    },
  };
}
