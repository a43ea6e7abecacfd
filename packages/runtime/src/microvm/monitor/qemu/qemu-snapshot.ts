import { createWriteStream } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { runtimeFailed } from "../../../contract/errors.ts";
import { slotBytes, type VmPlan } from "../vm-monitor.ts";

/** What must be the same for a machine that continues from a snapshot. */
const configurationSchema = z.strictObject({
  monitor: z.string(),
  accelerator: z.string(),
  /** The host's processor, which a guest under KVM sees. */
  processor: z.string(),
  cpus: z.number(),
  memoryBytes: z.number(),
  disks: z.array(z.strictObject({ readOnly: z.boolean(), bytes: z.number() })),
  macAddress: z.string().nullable(),
  kernel: z.string(),
  initrd: z.string(),
});
export type SnapshotConfiguration = z.infer<typeof configurationSchema>;

const manifestSchema = z.strictObject({
  /** Changes when this version reads or makes snapshots in another way. */
  format: z.literal(1),
  configuration: configurationSchema,
  stateBytes: z.number(),
  /** What the agent had sent, which nobody had read. */
  greeting: z.base64(),
});
export type SnapshotManifest = z.infer<typeof manifestSchema>;

export const stateFile = (dir: string): string => join(dir, "state");
const manifestFile = (dir: string): string => join(dir, "snapshot.json");

/** Describes a machine for the comparison with a snapshot's. */
export async function configurationOf(
  vm: VmPlan,
  { monitor, accelerator }: { readonly monitor: string; readonly accelerator: "tcg" | "kvm" },
): Promise<SnapshotConfiguration> {
  const disks = await Promise.all(
    vm.disks.map(async (disk) => ({
      readOnly: disk?.readOnly ?? true,
      bytes: disk === null ? slotBytes : await sizeOf(disk.path),
    })),
  );
  const [, processor = ""] = /^model name\s*:\s*(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8")) ?? [];
  return {
    monitor,
    accelerator,
    processor: accelerator === "kvm" ? processor : "",
    cpus: vm.cpus,
    memoryBytes: vm.memoryBytes,
    disks,
    macAddress: vm.network?.macAddress ?? null,
    // Their names have their checksums.
    kernel: basename(vm.guest.kernel),
    initrd: basename(vm.guest.initrd),
  };
}

async function sizeOf(disk: string): Promise<number> {
  try {
    return (await stat(disk)).size;
  } catch (error) {
    throw runtimeFailed(`the disk ${disk} can't be used`, error);
  }
}

/**
 * Writes a machine's state into a file.
 * @returns its size.
 * @throws {AirlockError} reason `runtime` when it is larger than the machine.
 */
export async function writeState(dir: string, state: Readable, maxBytes: number, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  const bounded = async function* (source: AsyncIterable<Buffer>) {
    for await (const piece of source) {
      bytes += piece.length;
      if (bytes > maxBytes) throw runtimeFailed("QEMU wrote a snapshot that is larger than its machine");
      yield piece;
    }
  };
  // A crash of the host must not leave a state of the right size with other content.
  const file = createWriteStream(stateFile(dir), { mode: 0o600, flags: "wx", flush: true });
  await pipeline(state, bounded, file, { signal });
  return bytes;
}

/** The manifest comes last: a snapshot without it is incomplete. */
export async function writeManifest(dir: string, manifest: Omit<SnapshotManifest, "format">): Promise<void> {
  const whole: SnapshotManifest = { format: 1, ...manifest };
  await writeFile(manifestFile(dir), JSON.stringify(whole), { mode: 0o600, flag: "wx" });
}

/**
 * Reads the description of a snapshot for a machine of this configuration.
 * @throws {AirlockError} code `snapshot-unusable` when the snapshot belongs to another one, or is incomplete.
 */
export async function readManifest(dir: string, wanted: SnapshotConfiguration): Promise<SnapshotManifest> {
  const { configuration, ...rest } = await parseManifest(dir);
  for (const name of Object.keys(wanted) as (keyof SnapshotConfiguration)[]) {
    const [found, needed] = [JSON.stringify(configuration[name]), JSON.stringify(wanted[name])];
    if (found !== needed) throw snapshotUnusable(dir, `its ${name} is ${found}, but the machine has ${needed}`);
  }
  return { configuration, ...rest };
}

async function parseManifest(dir: string): Promise<SnapshotManifest> {
  try {
    const manifest = manifestSchema.parse(JSON.parse(await readFile(manifestFile(dir), "utf8")));
    const { size } = await stat(stateFile(dir));
    if (size === manifest.stateBytes) return manifest;
  } catch (error) {
    throw snapshotUnusable(dir, "it is incomplete or damaged", error);
  }
  throw snapshotUnusable(dir, "its state is incomplete");
}

export function snapshotUnusable(dir: string, why: string, cause?: unknown): AirlockError {
  return new AirlockError(`the snapshot ${dir} can't be used: ${why}`, {
    code: "snapshot-unusable",
    reason: "runtime",
    hint: "Remove the snapshot and make a new one.",
    cause,
  });
}
