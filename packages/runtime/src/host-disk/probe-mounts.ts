import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isMountablePath, mountDiskImage, mountOverlay, unmountBelow } from "./mounts.ts";

/** How workspaces can be created on this host. */
export interface MountCapabilities {
  /** Whether sandboxes see this process's mounts. If not, a job would find an empty directory, so files are copied. */
  readonly mountsVisible: boolean;
  /** Whether a workspace can be an overlay on a checkout. */
  readonly overlays: boolean;
}

export interface ProbeMountsOptions {
  /** `auto` probes; `always` assumes that sandboxes see mounts; `never` creates none. */
  readonly setting: "auto" | "always" | "never";
  /** A directory for the probe alone, on the file system of the workspaces. It is emptied. */
  readonly probeDir: string;
  /** Whether sandboxes see a host file at the path where this process sees it. */
  readonly findsHostFile: (file: string, signal: AbortSignal) => Promise<boolean>;
  readonly signal: AbortSignal;
}

const probeImageBytes = 4 * 2 ** 20;
const clearMs = 10_000;

/**
 * Probes by mounting. The directory may itself be on an overlay. The kernel may lack overlays or loop devices. A Docker
 * engine may run in a container or a mount namespace that does not receive our mounts.
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
  // Disk limits need mounts too and may work where overlays don't.
  const seen = overlaid ?? (await isSeen(diskImage, options)) ?? false;
  const mountsVisible = setting === "always" || seen;
  return { mountsVisible, overlays: mountsVisible && overlaid !== undefined };
}

/** Whether sandboxes see a file in this mount. `undefined` if mounting itself fails. */
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
