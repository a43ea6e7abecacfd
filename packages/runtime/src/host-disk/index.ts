// Tools for other programs of this host that handle trees written by untrusted code.

export * from "../host/remove-tree.ts";
export * from "./copy-tree.ts";
export * from "./file-owner.ts";
export { HostDiskSandbox, type StepRunner } from "./host-disk-sandbox.ts";
export type { HostWorkspace } from "./host-workspace.ts";
export { HostWorkspaces, type WorkspaceOptions, type WorkspaceOwner } from "./host-workspaces.ts";
export * from "./mounts.ts";
export { type MountCapabilities, probeMounts } from "./probe-mounts.ts";
export * from "./trash.ts";
export { walkBeneath } from "./walk-tree.ts";
