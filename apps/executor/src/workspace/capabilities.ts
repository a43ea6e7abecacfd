import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { WorkspaceOptions } from "../config/options.ts";
import { isMountablePath, type Mounts } from "./mounts.ts";

/**
 * Whether the runtime sees what this process mounts. The oci runtime runs as our child. A Docker engine on a local socket
 * does too as long as neither of us is in a container; where that is uncertain a job would find an empty directory, so
 * `auto` then copies in place of mounting.
 */
export async function mountsAreVisible(
  setting: WorkspaceOptions["mounts"],
  runtimeName: string,
  dockerHost: string | null,
): Promise<boolean> {
  if (setting !== "auto") return setting === "always";
  if (process.getuid?.() !== 0) return false;
  if (runtimeName === "oci") return true;
  const isLocalSocket = dockerHost === null || dockerHost.startsWith("unix:");
  const inContainer =
    (await exists("/.dockerenv")) ||
    (await exists("/run/.containerenv")) ||
    (await exists("/var/run/secrets/kubernetes.io"));
  return runtimeName === "docker" && isLocalSocket && !inContainer;
}

/** Tries an overlay: the data directory may lie on an overlay itself, or the kernel may not have them. */
export async function overlaysWork(mounts: Mounts, probeDir: string, signal: AbortSignal): Promise<boolean> {
  if (!isMountablePath(probeDir)) return false;
  try {
    await mounts.unmountBelow(probeDir, signal);
    await rm(probeDir, { recursive: true, force: true });
    await mkdir(join(probeDir, "lower"), { recursive: true });
    await writeFile(join(probeDir, "lower", "file"), "");
    await mounts.overlay(join(probeDir, "lower"), probeDir, join(probeDir, "mounted"), signal);
    await access(join(probeDir, "mounted", "file"));
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  } finally {
    await mounts.unmountBelow(probeDir, AbortSignal.timeout(10_000));
    await rm(probeDir, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
