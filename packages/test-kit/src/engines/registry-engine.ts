import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startDaemon } from "../host/daemon.ts";
import { findExecutable } from "../host/find-executable.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";

export interface RegistryEngine extends AsyncDisposable {
  /** `HOST:PORT`, plain HTTP. */
  readonly address: string;
}

export interface RegistryEngineOptions {
  /** Lines of an htpasswd file with bcrypt hashes. All other users are rejected. Default: no authentication. */
  readonly htpasswd?: readonly string[];
}

/** Starts Debian's `docker-registry` with storage in a fresh directory, on a free port of `host`. */
export async function startRegistryEngine(
  host: string,
  { htpasswd }: RegistryEngineOptions = {},
): Promise<RegistryEngine> {
  const command = findExecutable("docker-registry");
  if (!command) throw new Error("not installed: apt-get install -y docker-registry");
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-r-")).path;
  const configPath = join(directory, "config.yml");
  const passwordFile = join(directory, "htpasswd");
  if (htpasswd) await writeFile(passwordFile, `${htpasswd.join("\n")}\n`);
  await writeFile(
    configPath,
    JSON.stringify({
      version: 0.1,
      log: { level: "info", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, "storage") }, delete: { enabled: true } },
      http: { addr: `${host}:0` },
      ...(htpasswd ? { auth: { htpasswd: { realm: "tests", path: passwordFile } } } : {}),
    }),
  );
  const daemon = cleanup.use(
    await startDaemon({ command, args: ["serve", configPath], logPath: join(directory, "registry.log") }),
  );
  const port = await daemon.ready(async () => /listening on [^\s"]*:(\d+)/.exec(await daemon.log())?.[1]);

  const owned = cleanup.move();
  return { address: `${host}:${port}`, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
