import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isMountablePath, mountDiskImage, mountOverlay, unmountBelow } from "./mounts.ts";

/** How workspaces can be made on this host. */
export interface MountCapabilities {
  /** The sandboxes see what this process mounts. Otherwise a job would find an empty directory, so files are copied. */
  readonly mountsVisible: boolean;
  /** A workspace can be an overlay on a checkout. */
  readonly overlays: boolean;
}

export interface ProbeMountsOptions {
  /** `auto` finds out; `always` trusts that sandboxes see mounts; `never` makes none. */
  readonly setting: "auto" | "always" | "never";
  /** Used by nothing else, on the file system of the workspaces; emptied. */
  readonly probeDir: string;
  /** Whether sandboxes find a file of this host where this process sees it. */
  readonly findsHostFile: (file: string, signal: AbortSignal) => Promise<boolean>;
  readonly signal: AbortSignal;
}

const probeImageBytes = 4 * 2 ** 20;
const clearMs = 10_000;

/**
 * Finds out by mounting and looking: the directory may lie on an overlay itself, the kernel may have no overlays or loop
 * devices, and a Docker engine may be in a container or a mount namespace that our mounts do not reach.
 */
export async function probeMounts(options: ProbeMountsOptions): Promise<MountCapabilities> {
  const { setting, probeDir, signal } = options;
  if (setting === "never" || process.getuid?.() !== 0) return { mountsVisible: setting === "always", overlays: false };
  const target = join(probeDir, "mounted");
  const lower = join(probeDir, "lower");
  const overlay = async () => {
    await mkdir(lower, { recursive: true });
    await writeFile(join(lower, "file"), "");
    await mountOverlay(lower, probeDir, target, signal);
  };
  const diskImage = async () => {
    await mkdir(probeDir, { recursive: true });
    await mountDiskImage(join(probeDir, "image"), probeImageBytes, target, signal);
    await writeFile(join(target, "file"), "");
  };
  const overlaid = isMountablePath(probeDir) ? await isSeen(overlay, options) : undefined;
  // Limits of disks are mounts too, and may work where overlays do not.
  const seen = overlaid ?? (await isSeen(diskImage, options)) ?? false;
  const mountsVisible = setting === "always" || seen;
  return { mountsVisible, overlays: mountsVisible && overlaid !== undefined };
}

/** Whether sandboxes see the file in a mount; `undefined` when the mount itself can't be made. */
async function isSeen(mount: () => Promise<void>, options: ProbeMountsOptions): Promise<boolean | undefined> {
  const { probeDir, findsHostFile, signal } = options;
  const clear = async (within: AbortSignal) => {
    await unmountBelow(probeDir, within);
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
    return await findsHostFile(join(probeDir, "mounted", "file"), signal);
  } finally {
    await clear(AbortSignal.timeout(clearMs));
  }
}
