import { outputOf } from "@airlock/process";

/** Removes trees written by a job, with any depth and names. Never follows links or crosses mounts. */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  // Node's recursive removal builds whole paths, so it fails on trees deeper than PATH_MAX. rm walks with openat.
  await outputOf(["rm", "-rf", "--one-file-system", "--", ...paths]);
}
