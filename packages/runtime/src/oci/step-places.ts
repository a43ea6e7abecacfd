import { join } from "node:path";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import type { LaunchMount } from "./launcher.ts";

/** Where the parts of one step lie. */
export interface StepPlaces {
  /** Ours: its bundle, its log. */
  readonly directory: string;
  /** Where what the step writes to its root file system is kept. */
  readonly layer: string;
  /** In the step's own mount namespace; `null`: what follows lies where it is. */
  readonly stage: string | null;
  readonly rootfs: string;
  readonly workspaceDir: string;
  readonly scriptsDir: string;
}

/** @param stage where file systems of containers with a user namespace are mounted; `null`: there are none. */
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
 * What the launcher mounts; staged, so that the container's root, who is nobody on the host, gets at it.
 * @param overlayOptions `null` where the root file system is a copy, in the step's layer.
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
    // A mount's flags hold for the container's root, who could change those that the OCI runtime sets.
    bind(workspace.dir, workspaceDir, "nosuid,nodev"),
    bind(workspace.readOnlyDir, scriptsDir, "ro,nosuid,nodev"),
    ...(hasNetwork ? [sysfs] : []),
  ];
}

interface MountedStep {
  readonly workspace: HostWorkspace;
  readonly overlayOptions: string | null;
  /** Whether the step joins a network of the host's user namespace, whose `/sys` it can't mount itself. */
  readonly hasNetwork: boolean;
  /** Whether the image's setuid programs and file capabilities have an effect. */
  readonly setuidWorks: boolean;
}
