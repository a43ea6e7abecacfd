import { execFile } from "node:child_process";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Go {
  readonly path: string;
  /** For example `go1.26.8`. */
  readonly version: string;
}

/** The oldest version that builds the test cluster: 1.24. */
const leastMinor = 24;

/**
 * Finds a Go that can build the test cluster.
 * @throws {Error} that says what is missing.
 */
export async function findGo(): Promise<Go> {
  const directories = [...(process.env.PATH ?? "").split(delimiter).filter(isAbsolute), "/usr/local/go/bin"];
  for (const directory of directories) {
    const path = join(directory, "go");
    const version = await versionOf(path);
    const minor = Number(/^go1\.(\d+)/.exec(version ?? "")?.[1] ?? 0);
    if (version !== null && minor >= leastMinor) return { path, version };
  }
  throw new Error(`needs Go 1.${leastMinor} or later in PATH or in /usr/local/go`);
}

/** The environment for Go: nothing but this version, and the machine's own caches and proxy. */
export function goEnvironment(): NodeJS.ProcessEnv {
  return { HOME: homedir(), ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly", GOTOOLCHAIN: "local" };
}

async function versionOf(path: string): Promise<string | null> {
  return run(path, ["env", "GOVERSION"], { env: goEnvironment() }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}
