import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { root } from "../programs/run.ts";

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly resolved?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** All packages that these workspaces depend on, by the lock file, without those of development and of other platforms. Sorted. */
export async function npmPackagesOf(workspaces: readonly string[]): Promise<readonly NpmPackage[]> {
  const { packages } = JSON.parse(await readFile(path.join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const seen = new Set<string>();
  const found = new Map<string, NpmPackage>();
  const visit = (location: string) => {
    const locked = packages[location];
    if (locked === undefined || seen.has(location)) return;
    seen.add(location);
    // Native parts for other platforms.
    if (locked.optional && !existsSync(path.join(root, location))) return;
    if (locked.link && locked.resolved) return visit(locked.resolved);
    const name = location.split("node_modules/").at(-1) ?? location;
    if (location.includes("node_modules/") && locked.version) {
      const { version, license = "NOASSERTION" } = locked;
      found.set(`${name}@${version}`, { name, version, license });
    }
    for (const dependency of Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })) {
      const target = resolveIn(packages, location, dependency);
      if (target !== undefined) visit(target);
    }
  };
  for (const workspace of workspaces) visit(workspace);
  return [...found.keys()].sort().map((key) => found.get(key) as NpmPackage);
}

/** Finds a dependency as Node does: in the package's own node_modules, then in those above. */
function resolveIn(packages: Readonly<Record<string, LockedPackage>>, from: string, name: string): string | undefined {
  for (let directory = from; ; directory = path.posix.dirname(directory)) {
    const candidate = path.posix.join(directory, "node_modules", name);
    if (packages[candidate] !== undefined) return candidate;
    if (directory === ".") return undefined;
  }
}
