import { readFile, rename, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { runtimeFailed } from "../../../contract/errors.ts";
import { slotBytes, type VmPlan } from "../vm-monitor.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { bootArgs } from "./machine-requests.ts";

const recordName = "snapshot.json";

const Record = z.strictObject({
  format: z.literal(1),
  monitor: z.literal("firecracker"),
  version: z.string(),
  processor: z.string(),
  cpus: z.number(),
  memoryBytes: z.number(),
  disks: z.array(z.enum(["empty", "read-only", "writable"])),
  slotBytes: z.number(),
  hasNetwork: z.boolean(),
  bootArgs: z.string(),
  kernel: z.string(),
  initrd: z.string(),
  ingress: z.number().nullable(),
  egress: z.number().nullable(),
});

/** What a snapshot belongs to. Firecracker itself does not refuse each of the differences, and guests then fail late. */
export type SnapshotRecord = z.infer<typeof Record>;

export function recordOf(vm: VmPlan, options: FirecrackerOptions, version: string): SnapshotRecord {
  return {
    format: 1,
    monitor: "firecracker",
    version,
    processor: `${process.arch} ${cpus()[0]?.model ?? "unknown"}`,
    cpus: vm.cpus,
    memoryBytes: vm.memoryBytes,
    disks: vm.disks.map((disk) => (disk === null ? "empty" : disk.readOnly ? "read-only" : "writable")),
    slotBytes,
    hasNetwork: vm.network !== null,
    bootArgs: bootArgs(options),
    // Their names have their checksums.
    kernel: basename(vm.guest.kernel),
    initrd: basename(vm.guest.initrd),
    ingress: options.bandwidth?.ingress ?? null,
    egress: options.bandwidth?.egress ?? null,
  };
}

/** Written last and as a whole: a snapshot without it is not complete. */
export async function writeRecord(dir: string, record: SnapshotRecord): Promise<void> {
  const part = join(dir, `${recordName}.part`);
  await writeFile(part, JSON.stringify(record), { flag: "wx" });
  await rename(part, join(dir, recordName));
}

/** @throws {AirlockError} code `snapshot-unusable` when the snapshot is not complete or was made for another machine. */
export async function checkRecord(dir: string, wanted: SnapshotRecord): Promise<void> {
  let text: string;
  try {
    text = await readFile(join(dir, recordName), "utf8");
  } catch (cause) {
    throw snapshotUnusable(dir, "it is not complete", cause);
  }
  let found: Partial<SnapshotRecord>;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw snapshotUnusable(dir, `its ${recordName} is not JSON`, cause);
  }
  for (const key of Object.keys(wanted) as (keyof SnapshotRecord)[]) {
    if (isDeepStrictEqual(found[key], wanted[key])) continue;
    const [theirs, ours] = [found[key], wanted[key]].map((value) => JSON.stringify(value));
    throw snapshotUnusable(dir, `its ${key} is ${theirs}, but this machine needs ${ours}`);
  }
  const parsed = Record.safeParse(found);
  if (!parsed.success) throw snapshotUnusable(dir, `its ${recordName} has an unknown format`, parsed.error);
}

export function snapshotUnusable(dir: string, why: string, cause?: unknown): AirlockError {
  return new AirlockError(`the snapshot in ${dir} can't be used: ${why}`, {
    code: "snapshot-unusable",
    reason: "runtime",
    hint: "Remove the snapshot. The executor makes a new one.",
    cause: cause ?? runtimeFailed(why),
  });
}
