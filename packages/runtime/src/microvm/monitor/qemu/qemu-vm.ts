import { once } from "node:events";
import { chmod, link, rm, stat } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { onAbort, pause } from "@airlock/async";
import { z } from "zod";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import { type RunningVm, slotBytes, type VmEnd, type VmPlan, type VmSnapshot } from "../vm-monitor.ts";
import { diskName, diskNode, fileName, fileNode, inDirectory, monitorBytes } from "./qemu-command.ts";
import type { QemuProcess } from "./qemu-process.ts";
import { type SnapshotConfiguration, writeManifest, writeState } from "./qemu-snapshot.ts";
import type { QmpClient } from "./qmp-client.ts";

/** An agent that nobody answered has sent only its greeting. */
const maxGreetingBytes = 64;
const pollMs = 2;

const migrationSchema = z.object({ status: z.string().optional() });

export interface QemuVmParts {
  readonly plan: VmPlan;
  readonly process: QemuProcess;
  readonly control: QmpClient;
  readonly configuration: SnapshotConfiguration;
  /** What to give back after the end of the process. */
  readonly resources: AsyncDisposableStack;
}

/** A machine that QEMU runs. */
export class QemuVm implements RunningVm {
  readonly #parts: QemuVmParts;
  /** Number of the file that each disk shows. */
  readonly #files = new Map<number, number>();

  constructor(parts: QemuVmParts) {
    this.#parts = parts;
  }

  get stream(): Duplex {
    return this.#parts.process.agent;
  }

  get ended(): Promise<VmEnd> {
    return this.#parts.process.ended;
  }

  async attachImage(slot: number, path: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { plan, control, resources } = this.#parts;
    if (plan.disks[slot] !== null) throw runtimeFailed(`disk ${slot} of the machine is not an empty slot`);
    if (this.#files.has(slot)) throw runtimeFailed(`slot ${slot} of the machine has an image already`);
    const { size } = await stat(path);
    if (size !== slotBytes) throw runtimeFailed(`the image ${path} has ${size} bytes, but a slot has ${slotBytes}`);
    this.#files.set(slot, 1);
    const file = fileName(slot, 1);
    try {
      // QEMU's user may not reach the image by its own path.
      const name = `image-${slot}`;
      await link(path, join(plan.dir, name));
      resources.defer(() => rm(join(plan.dir, name), { force: true }));
      // The guest sees the same device with the same size. Only the file behind it is another one.
      await control.call("blockdev-add", { ...fileNode(file, inDirectory(name), true) }, signal);
      await control.call("blockdev-reopen", { options: [diskNode(slot, file, true)] }, signal);
    } catch (error) {
      this.#files.delete(slot);
      throw runtimeFailed(`the image ${path} can't be attached as ${diskName(slot)}`, error);
    }
    await control.call("blockdev-del", { "node-name": fileName(slot, 0) }, signal);
  }

  async pause({ signal }: Abortable): Promise<void> {
    await this.#parts.control.call("stop", {}, signal);
  }

  async resume({ signal }: Abortable): Promise<void> {
    await this.#parts.control.call("cont", {}, signal);
  }

  async snapshot(dir: string, { signal }: { readonly signal: AbortSignal }): Promise<VmSnapshot> {
    const { plan, control, configuration } = this.#parts;
    await control.call("stop", {}, signal);
    // The greeting is in the socket already: the agent sent it before the machine counted as started.
    const greeting: Buffer = this.stream.read() ?? Buffer.alloc(0);
    if (greeting.length > maxGreetingBytes) throw runtimeFailed("the guest has sent more than its greeting");
    if (greeting.length === 0) throw runtimeFailed("the machine's stream was read, so it can't be copied");
    await using receiver = await receiveState(plan.dir);
    await control.call("migrate-set-parameters", { "max-bandwidth": 2 ** 40 }, signal);
    await control.call("migrate", { uri: `unix:${inDirectory(receiver.name)}` }, signal);
    const state = await receiver.accept(signal);
    const stateBytes = await writeState(dir, state, plan.memoryBytes + monitorBytes, signal);
    await this.#untilMigrated(signal);
    await writeManifest(dir, { configuration, stateBytes, greeting: greeting.toString("base64") });
    await this[Symbol.asyncDispose]();
    return { dir };
  }

  async #untilMigrated(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { status } = migrationSchema.parse(await this.#parts.control.call("query-migrate", {}, signal));
      if (status === "completed") return;
      if (status === "failed" || status === "cancelled") throw runtimeFailed("QEMU can't write the machine's state");
      await pause(pollMs, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.process.kill();
    await this.ended;
    this.stream.destroy();
    await this.#parts.resources.disposeAsync();
  }
}

/** Listens for QEMU, which sends the machine's state over a socket: it can't open files of the snapshot. */
async function receiveState(dir: string) {
  const name = "state.sock";
  const path = join(dir, name);
  const server = createServer({ allowHalfOpen: true });
  const accepted = Promise.withResolvers<Socket>();
  server.once("connection", (socket) => {
    accepted.resolve(socket);
    server.close();
  });
  server.listen(path);
  await once(server, "listening");
  // The directory belongs to the machine's user and is closed for all others.
  await chmod(path, 0o666);
  return {
    name,
    async accept(signal: AbortSignal): Promise<Socket> {
      using _abort = onAbort(signal, () => accepted.reject(signal.reason));
      return await accepted.promise;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      accepted.promise.then(
        (socket) => socket.destroy(),
        () => {},
      );
      await rm(path, { force: true });
    },
  };
}
