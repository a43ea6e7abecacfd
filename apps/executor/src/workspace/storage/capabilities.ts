import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Runtime } from "@airlock/runtime";
import type { WorkspaceOptions } from "../../config/options.ts";
import { isMountablePath, type Mounts } from "./mounts.ts";

/** How workspaces can be made here. */
export interface WorkspaceCapabilities {
  /** The runtime sees what this process mounts. Otherwise a job would find an empty directory, so files are copied. */
  readonly mountsVisible: boolean;
  /** A workspace can be an overlay on a prepared checkout. */
  readonly overlays: boolean;
}

export interface ProbeOptions {
  readonly setting: WorkspaceOptions["mounts"];
  readonly mounts: Mounts;
  /** Ours alone, on the file system of the workspaces; emptied. */
  readonly probeDir: string;
  readonly runtime: Pick<Runtime, "findsHostFile">;
  readonly signal: AbortSignal;
}

const probeImageBytes = 4 * 2 ** 20;

/**
 * Finds out by mounting and looking: the data directory may lie on an overlay itself, the kernel may have no overlays or
 * loop devices, and a Docker engine may be in a container or a mount namespace that our mounts do not reach.
 */
export async function probeCapabilities(options: ProbeOptions): Promise<WorkspaceCapabilities> {
  const { setting, probeDir, mounts, signal } = options;
  if (setting === "never" || process.getuid?.() !== 0) return { mountsVisible: setting === "always", overlays: false };
  const target = join(probeDir, "mounted");
  const lower = join(probeDir, "lower");
  const overlay = async () => {
    await mkdir(lower, { recursive: true });
    await writeFile(join(lower, "file"), "");
    await mounts.overlay(lower, probeDir, target, signal);
  };
  const diskImage = async () => {
    await mkdir(probeDir, { recursive: true });
    await mounts.diskImage(join(probeDir, "image"), probeImageBytes, target, signal);
    await writeFile(join(target, "file"), "");
  };
  const overlaid = isMountablePath(probeDir) ? await isSeen(overlay, options) : undefined;
  // Limits on disk are mounts too, and may work where overlays do not.
  const seen = overlaid ?? (await isSeen(diskImage, options)) ?? false;
  const mountsVisible = setting === "always" || seen;
  return { mountsVisible, overlays: mountsVisible && overlaid !== undefined };
}

/** Whether the runtime sees the file in a mount; `undefined` when the mount itself can't be made. */
async function isSeen(mount: () => Promise<void>, options: ProbeOptions): Promise<boolean | undefined> {
  const { mounts, probeDir, runtime, signal } = options;
  const clear = async (within: AbortSignal) => {
    await mounts.unmountBelow(probeDir, within);
    await rm(probeDir, { recursive: true, force: true });
  };
  await clear(signal);
  try {
    try {
      await mount();
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
    return await runtime.findsHostFile(join(probeDir, "mounted", "file"), { signal });
  } finally {
    await clear(AbortSignal.timeout(10_000));
  }
}
