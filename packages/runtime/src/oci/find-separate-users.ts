import { chown, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import type { IdRange } from "../host/id-range.ts";
import { IdRanges, idsLockFile } from "../host/id-ranges.ts";
import { removeTree } from "../host/remove-tree.ts";
import { loadSystemCalls } from "../host/system-calls.ts";
import type { UserLimits } from "../isolation/process-limits.ts";
import { SandboxUsers } from "./sandbox-users.ts";
import { SeparateUsers } from "./separate-users.ts";

export interface FindSeparateUsersOptions {
  /** All host ids that sandboxes may have. */
  readonly ids: IdRange;
  /** Number of ids of each sandbox. */
  readonly size: number;
  /** A directory on the file system of images and sandboxes. */
  readonly directory: string;
  readonly limits: UserLimits;
}

const probeMs = 10_000;

/** Returns what gives each sandbox host ids of its own, or a sentence about why that is impossible here. */
export async function findSeparateUsers(
  options: FindSeparateUsersOptions,
): Promise<SeparateUsers | { readonly problem: string }> {
  const { ids, size, limits } = options;
  if (ids.size < 2 * size) return { problem: "The executor's settings give all sandboxes only one range." };
  const calls = await loadSystemCalls();
  if ("problem" in calls) return calls;
  const ranges = new IdRanges({ ids, size, lockFile: idsLockFile, calls });
  const separate = new SeparateUsers({ ranges, calls, limits });
  try {
    await tryOverlay(separate, options);
  } catch (error) {
    const words = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
    return { problem: `The kernel or the file system of the state directory can't map owners (${words}).` };
  }
  return separate;
}

/** Mounts an overlay on a tree with mapped owners, as each step does. The file system has to support both. */
async function tryOverlay(separate: SeparateUsers, { directory }: FindSeparateUsersOptions): Promise<void> {
  const probe = await mkdtemp(join(directory, "probe-"));
  try {
    for (const name of ["tree", "mapped", "upper", "work", "root"]) await mkdir(join(probe, name));
    const own = 1000;
    await writeFile(join(probe, "tree", "file"), "");
    await chown(join(probe, "tree", "file"), own, own);
    using users = await SandboxUsers.open(separate, probe, { signal: AbortSignal.timeout(probeMs) });
    using _mounted = users.mount(join(probe, "tree"), join(probe, "mapped"));
    const places = [`lowerdir=${probe}/mapped`, `upperdir=${probe}/upper`, `workdir=${probe}/work`].join(",");
    const script = 'mount -n -t overlay -o "$0" overlay "$1" && chmod 600 "$1/file" && stat -c %u "$1/file"';
    const command = ["unshare", "--mount", "--", "sh", "-c", script, places, join(probe, "root")];
    const owner = Number(await outputOf(command));
    if (owner !== users.range.base + own) throw new Error(`a mapped file belongs to ${owner}`);
  } finally {
    await removeTree(probe);
  }
}
