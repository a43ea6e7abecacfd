import { createHash } from "node:crypto";

export const ownerLabel = "airlock.owner";
export const sandboxLabel = "airlock.sandbox";
export const egressLabel = "airlock.egress";
export const sandboxAnnotation = "airlock.sandbox";

/** A value for labels. Owners and ids may have forms that a label does not allow. */
export function labelOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 20);
}

/** The name of a sandbox's pod. Two executors may use the same id in one namespace. */
export function podName({ owner, id }: { readonly owner: string; readonly id: string }): string {
  return `airlock-${id.slice(0, 38)}-${labelOf(`${owner} ${id}`).slice(0, 12)}`;
}
