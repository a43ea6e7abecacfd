import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { chown, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Daemon, startDaemon } from "../host/daemon.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";

const run = promisify(execFile);

export interface PostgresEngine extends AsyncDisposable {
  /** URL of a superuser over 127.0.0.1. */
  readonly url: string;
  /** Kills the server with SIGKILL. Committed data is there again after `restart`. */
  crash(): Promise<void>;
  /** Starts the server again after a crash, on the same port. */
  restart(): Promise<void>;
}

/**
 * Starts the distribution's PostgreSQL as an unprivileged user. fsync is off, because no test simulates a power
 * failure.
 */
export async function startPostgresEngine(): Promise<PostgresEngine> {
  const binaries = findBinaries();
  if (!binaries) throw new Error("not installed: apt-get install -y postgresql");
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-p-")).path;
  const user = await unprivilegedUser();
  const asUser = (command: string, ...args: string[]) =>
    user
      ? (["setpriv", "--reuid", user.uid, "--regid", user.gid, "--clear-groups", command, ...args] as const)
      : [command, ...args];

  const password = randomBytes(16).toString("hex");
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, password);
  if (user) for (const path of [directory, passwordFile]) await chown(path, Number(user.uid), Number(user.gid));

  const data = join(directory, "data");
  const [initdb = "", ...initdbArgs] = asUser(
    join(binaries, "initdb"),
    ...["-D", data, "-U", "postgres", "--pwfile", passwordFile, "--auth", "scram-sha-256"],
    ...["-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
  );
  await run(initdb, initdbArgs, { cwd: directory });

  const port = await freePort();
  const [postgres = "", ...args] = asUser(
    join(binaries, "postgres"),
    ...["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", directory],
    ...["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "log_min_messages=warning"],
  );
  const status = join(data, "postmaster.pid");
  const start = async (): Promise<Daemon> => {
    const started = await startDaemon({
      command: postgres,
      args,
      logPath: join(directory, "postgres.log"),
      cwd: directory,
      // SIGINT is the fast shutdown, which does not wait for clients to disconnect.
      stopBy: "SIGINT",
    });
    await started.ready(async () => {
      const lines = (await readFile(status, "utf8").catch(() => "")).split("\n");
      return lines[0] === String(started.pid) && lines[7]?.trim() === "ready" ? true : undefined;
    });
    return started;
  };
  let daemon = await start();
  cleanup.defer(() => daemon[Symbol.asyncDispose]());

  const owned = cleanup.move();
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    async crash() {
      process.kill(daemon.pid, "SIGKILL");
      await daemon[Symbol.asyncDispose]();
    },
    async restart() {
      // The crashed server's child processes hold its shared memory until they notice. Until then a new server refuses
      // to start.
      for (let tries = 0; ; tries += 1) {
        try {
          daemon = await start();
          return;
        } catch (error) {
          if (tries >= 50) throw error;
          await sleep(100);
        }
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function findBinaries(): string | undefined {
  const root = "/usr/lib/postgresql";
  try {
    const newest = readdirSync(root)
      .filter((version) => /^\d+$/.test(version))
      .sort((a, b) => Number(b) - Number(a))[0];
    return newest ? join(root, newest, "bin") : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns a user for PostgreSQL, which refuses to run as root. `undefined`: this process is not root and can run it.
 */
async function unprivilegedUser(): Promise<{ uid: string; gid: string } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = await readFile("/etc/passwd", "utf8");
  const [, uid = "65534", gid = "65534"] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(passwd) ?? [];
  return { uid, gid };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
