import { readFile } from "node:fs/promises";

export interface MountPoint {
  readonly path: string;
  readonly fsType: string;
  /** Options of the file system itself, e.g. the controllers of a cgroup v1 hierarchy. */
  readonly superOptions: readonly string[];
}

/** The mounts of this process's mount namespace, in the order of mounting. */
export async function readMounts(): Promise<readonly MountPoint[]> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/** Parses proc(5) `mountinfo`. */
function parseMountInfo(text: string): readonly MountPoint[] {
  const mounts: MountPoint[] = [];
  for (const line of text.split("\n")) {
    const [own, theirs] = line.split(" - ");
    const path = own?.split(" ")[4];
    const [fsType, , superOptions] = theirs?.split(" ") ?? [];
    if (path === undefined || fsType === undefined) continue;
    const unescaped = path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    mounts.push({ path: unescaped, fsType, superOptions: superOptions?.split(",") ?? [] });
  }
  return mounts;
}
