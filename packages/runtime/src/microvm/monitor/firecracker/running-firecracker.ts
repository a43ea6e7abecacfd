import { chmod, chown, lstat, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { RunningVm, VmEnd, VmPlan, VmSnapshot } from "../vm-monitor.ts";
import { driveId, files } from "./machine-requests.ts";
import { shareFile } from "./share-file.ts";
import { type SnapshotRecord, writeRecord } from "./snapshot-record.ts";
import type { StartedMachine } from "./start-machine.ts";

export class RunningFirecracker implements RunningVm {
  readonly #machine: StartedMachine;
  readonly #vm: VmPlan;
  readonly #record: (options: Abortable) => Promise<SnapshotRecord>;
  readonly #attached = new Set<number>();
  #disposal: PromiseLike<void> | undefined;

  constructor(
    machine: StartedMachine,
    { vm, record }: { readonly vm: VmPlan; readonly record: (options: Abortable) => Promise<SnapshotRecord> },
  ) {
    this.#machine = machine;
    this.#vm = vm;
    this.#record = record;
  }

  get stream(): Duplex {
    return this.#machine.stream;
  }

  get ended(): Promise<VmEnd> {
    return this.#machine.process.ended;
  }

  async attachImage(slot: number, path: string, { signal }: Abortable): Promise<void> {
    if (this.#vm.disks[slot] !== null) throw runtimeFailed(`the virtual machine has no empty slot ${slot}`);
    if (this.#attached.has(slot)) throw runtimeFailed(`the virtual machine's slot ${slot} has an image already`);
    this.#attached.add(slot);
    const { enclosure, api, process } = this.#machine;
    await shareFile(enclosure, path, files.image(slot), "read");
    const options = { signal: AbortSignal.any([signal, process.gone]) };
    await api.patchDrive({ drive_id: driveId(slot), path_on_host: files.image(slot) }, options);
    // The slot's first file is closed now. Its name would only keep the placeholder.
    await unlink(join(enclosure.root, files.disk(slot)));
  }

  async pause({ signal }: Abortable): Promise<void> {
    const { api, process } = this.#machine;
    await api.pause({ signal: AbortSignal.any([signal, process.gone]) });
  }

  async resume({ signal }: Abortable): Promise<void> {
    const { api, process } = this.#machine;
    await api.resume({ signal: AbortSignal.any([signal, process.gone]) });
  }

  async snapshot(dir: string, { signal }: Abortable): Promise<VmSnapshot> {
    // A restored machine has only the disks of its plan.
    if (this.#attached.size > 0) throw runtimeFailed("a virtual machine with attached images can't be a snapshot");
    const { api, process, enclosure } = this.#machine;
    const options = { signal: AbortSignal.any([signal, process.gone]) };
    const record = await this.#record(options);
    await api.pause(options);
    await api.createSnapshot({ snapshot_path: files.newState, mem_file_path: files.newMemory }, options);
    // The process keeps the files open for writing, so they are taken over only after its end.
    await process[Symbol.asyncDispose]();
    const made = { [files.newState]: files.state, [files.newMemory]: files.memory };
    for (const [from, to] of Object.entries(made)) {
      await takeOver(join(enclosure.root, from), join(dir, to), enclosure.user !== null);
    }
    await writeRecord(dir, record);
    await this[Symbol.asyncDispose]();
    return { dir };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#machine[Symbol.asyncDispose]();
    await this.#disposal;
  }
}

/** Makes a file of the monitor ours, so that monitors of other machines can read it and not change it. */
async function takeOver(source: string, target: string, isForeign: boolean): Promise<void> {
  await rename(source, target);
  const stats = await lstat(target);
  if (!stats.isFile() || stats.nlink !== 1) throw runtimeFailed(`the monitor did not write a file to ${source}`);
  if (isForeign) await chown(target, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(target, 0o444);
}
