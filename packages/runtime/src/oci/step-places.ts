import { join } from "node:path";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import type { LaunchMount } from "./launcher.ts";

/** Paths of one step's parts. */
export interface StepPlaces {
  /** The executor's directory for the step: bundle and log. */
  readonly directory: string;
  /** Directory of what the step writes to its root file system. */
  readonly layer: string;
  /** Mount point in the step's own mount namespace; `null`: the paths below are used directly. */
  readonly stage: string | null;
  readonly rootfs: string;
  readonly workspaceDir: string;
  readonly scriptsDir: string;
}

/** @param stage Mount point for the file systems of containers with a user namespace; `null` without one. */
export function placesOfStep(
  directory: string,
  name: string,
  workspace: HostWorkspace,
  stage: string | null,
): StepPlaces {
  const { layersDir, dir: workspaceDir, readOnlyDir: scriptsDir } = workspace;
  const layer = layersDir === null ? directory : join(layersDir, `step-${name}`);
  if (stage === null) return { directory, layer, stage, rootfs: join(layer, "rootfs"), workspaceDir, scriptsDir };
  return {
    directory,
    layer,
    stage,
    rootfs: join(stage, "rootfs"),
    workspaceDir: join(stage, "data"),
    scriptsDir: join(stage, "airlock"),
  };
}

/**
 * The mounts that the launcher makes. They are below the stage, so that the container's root, an unprivileged user on
 * the host, can reach them.
 * @param overlayOptions `null` if the root file system is a copy in the step's layer.
 */
export function mountsOfStep(
  { stage, layer, rootfs, workspaceDir, scriptsDir }: StepPlaces,
  { workspace, overlayOptions, hasNetwork, setuidWorks }: MountedStep,
): readonly LaunchMount[] {
  const overlay =
    overlayOptions === null ? null : { source: "overlay", target: rootfs, type: "overlay", options: overlayOptions };
  if (stage === null) return overlay ? [overlay] : [];
  const bind = (source: string, target: string, options: string) => ({
    source,
    target,
    type: "none",
    options: `bind,${options}`,
  });
  const sysfs = { source: "sysfs", target: join(stage, "sys"), type: "sysfs", options: "ro,nosuid,nodev,noexec" };
  return [
    { source: "tmpfs", target: stage, type: "tmpfs", options: "mode=0711,size=256k,nr_inodes=64" },
    overlay ?? bind(join(layer, "rootfs"), rootfs, setuidWorks ? "nodev" : "nosuid,nodev"),
    // The container's root can't remove these flags, but could change flags that the OCI runtime sets.
    bind(workspace.dir, workspaceDir, "nosuid,nodev"),
    bind(workspace.readOnlyDir, scriptsDir, "ro,nosuid,nodev"),
    ...(hasNetwork ? [sysfs] : []),
  ];
}

interface MountedStep {
  readonly workspace: HostWorkspace;
  readonly overlayOptions: string | null;
  /** Whether the step joins a network of the host's user namespace. It can't mount that network's `/sys` itself. */
  readonly hasNetwork: boolean;
  /** Whether setuid programs and file capabilities of the image take effect. */
  readonly setuidWorks: boolean;
}
