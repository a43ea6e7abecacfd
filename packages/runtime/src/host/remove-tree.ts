import { outputOf } from "@airlock/process";

/** Removes trees that a job wrote: any depth, any names, never leaving them through links or mounts. */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  // Node's own recursive removal builds whole paths, so it fails on trees deeper than PATH_MAX; rm walks with openat.
  await outputOf(["rm", "-rf", "--one-file-system", "--", ...paths]);
}
