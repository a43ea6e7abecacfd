import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, open, readFile, rename, rm, rmdir, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError, errorMessage, saysNoSpace } from "@airlock/job";
import pg from "pg";
import { writeFileAtomically } from "../files/write-file-atomically.ts";
import { findPostgresBinaries, type PostgresBinaries } from "./postgres-binaries.ts";
import { stopPredecessor } from "./postgres-predecessor.ts";
import { type Account, accountForPostgres, canReach } from "./unprivileged-account.ts";

export interface EmbeddedPostgresOptions {
  /** Holds the cluster in `postgres/` and the server's log in `postgres.log`. The caller holds the directory's lock. */
  readonly dataDirectory: string;
  /** Called at every start, unexpected end and failed restart. */
  readonly onEvent?: (event: { kind: "started" | "died" | "restart-failed"; detail: string }) => void;
}

const user = "airlock";
const port = 5432;
const startTimeoutMs = 60_000;
/** How long restarts continue while the disk is full. */
const fullDiskPatienceMs = 3000;
const runtimePrefix = "airlock-pg-";

/**
 * A PostgreSQL server as a child process. The cluster is created once. The server listens only on a Unix socket in a
 * private directory, runs as an unprivileged account, and is restarted when it dies. If this process is killed, the
 * kernel tells the server to stop.
 */
export class EmbeddedPostgres implements AsyncDisposable {
  readonly url: string;
  /** Rejects with an {@link AirlockError} when the server died and can't be restarted. Never resolves. */
  readonly failure: Promise<never>;
  readonly #options: EmbeddedPostgresOptions;
  readonly #fail: (error: AirlockError) => void;
  readonly #place: Place;
  #server: ChildProcess | null = null;
  #stopping = false;
  #supervision: Promise<void> = Promise.resolve();

  private constructor(options: EmbeddedPostgresOptions, place: Place, url: string) {
    this.#options = options;
    this.#place = place;
    this.url = url;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.#fail = reject;
    // The instance may already be stopping and no longer wait for this promise.
    promise.catch(() => {});
  }

  /**
   * Creates the cluster if it doesn't exist. Stops what a killed predecessor left. Starts the server and resolves when
   * it answers.
   * @throws {AirlockError} `postgres-missing`, `postgres-failed`, `no-space`, `no-unprivileged-account`.
   */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const binaries = await findPostgresBinaries();
    const cluster = path.join(options.dataDirectory, "postgres");
    const account = await accountForPostgres(cluster);
    await stopPredecessor(cluster);
    await removeRuntimeDirectory(options.dataDirectory);
    const password = await readOrCreatePassword(options.dataDirectory);
    const runtimeDirectory = await createRuntimeDirectory(options.dataDirectory, account);
    try {
      const place = { ...options, binaries, cluster, account, runtimeDirectory };
      if (!existsSync(cluster)) await createCluster(place, password);
      const host = encodeURIComponent(runtimeDirectory);
      // The host parameter names the socket's directory and overrides localhost. A URL without a host would be invalid.
      const url = `postgres://${user}:${password}@localhost/postgres?host=${host}&port=${port}`;
      const postgres = new EmbeddedPostgres(options, place, url);
      await postgres.#startServer();
      return postgres;
    } catch (error) {
      await removeRuntimeDirectory(options.dataDirectory);
      throw error;
    }
  }

  /** Process id of the server, for tests and supervisors. */
  get pid(): number | undefined {
    return this.#server?.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const server = this.#server;
    if (server) await stopServer(server);
    await this.#supervision;
    await removeRuntimeDirectory(this.#options.dataDirectory);
  }

  async #startServer(): Promise<void> {
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      await rotateLog(this.#options.dataDirectory);
      const logStart = await logSize(this.#options.dataDirectory);
      const server = await this.#spawnServer();
      const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
      this.#server = server;
      if (await this.#waitUntilReady(server, deadline)) {
        this.#options.onEvent?.({ kind: "started", detail: `pid ${server.pid}` });
        void ended.then(() => {
          if (!this.#stopping) this.#supervision = this.#restart(server);
        });
        return;
      }
      if (server.exitCode === null && server.signalCode === null) {
        await stopServer(server);
        throw await failed("PostgreSQL did not respond in time", this.#options.dataDirectory, logStart);
      }
      // Workers of a killed server hold its shared memory until they notice. Try again until they are gone.
      const blocked = /shared memory block|lock file|starting up/.test(await lastLogLines(this.#options.dataDirectory));
      if (!blocked || this.#stopping || Date.now() > deadline - startTimeoutMs + 15_000) {
        throw await failed("PostgreSQL did not start", this.#options.dataDirectory, logStart);
      }
      await sleep(250);
    }
  }

  async #restart(dead: ChildProcess): Promise<void> {
    this.#options.onEvent?.({ kind: "died", detail: `exit code ${dead.exitCode}, signal ${dead.signalCode}` });
    const deadAt = Date.now();
    for (let waitMs = 100; !this.#stopping; waitMs = Math.min(waitMs * 2, 5000)) {
      try {
        await stopPredecessor(this.#place.cluster);
        await this.#startServer();
        return;
      } catch (error) {
        this.#options.onEvent?.({ kind: "restart-failed", detail: errorMessage(error) });
        // A full disk may recover by itself, e.g. by a log rotation. After that, the administrator has to free space.
        if (error instanceof AirlockError && error.code === "no-space" && Date.now() - deadAt > fullDiskPatienceMs) {
          this.#fail(error);
          return;
        }
        await sleep(waitMs);
      }
    }
  }

  async #spawnServer(): Promise<ChildProcess> {
    return launch(this.#place, this.#place.cluster, (paths) => [
      path.join(paths.root, "bin", "postgres"),
      ...["-D", paths.cluster, "-k", this.#place.runtimeDirectory, "-p", String(port)],
      ...settings.flatMap((setting) => ["-c", setting]),
    ]);
  }

  async #waitUntilReady(server: ChildProcess, deadline: number): Promise<boolean> {
    while (server.exitCode === null && server.signalCode === null && Date.now() < deadline) {
      const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 5000 });
      // A dying server may break the connection. The loop condition detects that.
      client.on("error", () => {});
      try {
        await client.connect();
        return true;
      } catch {
        await sleep(25);
      } finally {
        await client.end().catch(() => {}); // It may never have connected.
      }
    }
    return false;
  }
}

const settings = [
  "listen_addresses=",
  "unix_socket_permissions=0700",
  "fsync=on",
  "max_connections=120",
  "log_destination=stderr",
  "logging_collector=off",
  "log_line_prefix=%m [%p] ",
] as const;

interface Place {
  readonly dataDirectory: string;
  readonly binaries: PostgresBinaries;
  readonly cluster: string;
  readonly account: Account | null;
  readonly runtimeDirectory: string;
}

/**
 * Creates the cluster next to its final path and renames it when complete. A killed start leaves no partial cluster.
 */
async function createCluster(place: Place, password: string): Promise<void> {
  const half = `${place.cluster}.new`;
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { mode: 0o700 });
  const passwordFile = path.join(place.runtimeDirectory, "password");
  const file = await open(passwordFile, "wx", 0o600);
  try {
    await file.writeFile(`${password}\n`);
    if (place.account) {
      await chown(half, place.account.uid, place.account.gid);
      await file.chown(place.account.uid, place.account.gid);
    }
    const logStart = await logSize(place.dataDirectory);
    const initdb = await launch(place, half, (paths) => [
      path.join(paths.root, "bin", "initdb"),
      `--pgdata=${paths.cluster}`,
      `--username=${user}`,
      `--pwfile=${passwordFile}`,
      "--auth-local=scram-sha-256",
      "--auth-host=reject",
      "--encoding=UTF8",
      "--locale=C",
      "--no-instructions",
    ]);
    const code = await new Promise<number | null>((resolve) => initdb.once("exit", resolve));
    if (code !== 0) throw await failed("the database could not be created", place.dataDirectory, logStart);
    await rename(half, place.cluster);
  } finally {
    await file.close();
    await unlink(passwordFile);
  }
}

/**
 * Starts a PostgreSQL program as the unprivileged account. That account may be unable to reach the binaries or the
 * cluster, e.g. in a checkout below root's private home. The program then gets both through bind mounts in its own
 * mount namespace.
 */
async function launch(
  place: Place,
  cluster: string,
  argv: (paths: { root: string; cluster: string }) => readonly string[],
): Promise<ChildProcess> {
  const { account, binaries, runtimeDirectory } = place;
  const hidden =
    account !== null &&
    !((await canReach(account, path.join(binaries.root, "bin"))) && (await canReach(account, path.dirname(cluster))));
  const words: string[] = [];
  let paths = { root: binaries.root, cluster };
  if (hidden) {
    paths = { root: path.join(runtimeDirectory, "native"), cluster: path.join(runtimeDirectory, "data") };
    words.push("unshare", "--mount", "--propagation", "private", "--", "sh", "-c");
    words.push('mount --bind "$1" "$2" && mount --bind "$3" "$4" && shift 4 && exec "$@"', "sh");
    words.push(binaries.root, paths.root, cluster, paths.cluster);
  }
  // The kernel stops the server when this process dies. Otherwise the server would keep running.
  words.push("setpriv", "--pdeathsig", "INT");
  if (account) words.push("--reuid", String(account.uid), "--regid", String(account.gid), "--clear-groups");
  words.push("--", ...argv(paths));
  const log = await open(logPath(place.dataDirectory), "a", 0o600);
  try {
    const [command = "", ...args] = words;
    const child = spawn(command, args, {
      cwd: "/",
      stdio: ["ignore", log.fd, log.fd],
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", TZ: "UTC" },
      // Run in a separate process group. Ctrl-C then reaches only the instance, which stops the server in order.
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) =>
        reject(
          new AirlockError(`cannot start PostgreSQL: ${errorMessage(cause)}`, {
            code: "postgres-failed",
            hint: "The embedded database needs setpriv and unshare (Debian's util-linux); or set AIRLOCK_DATABASE_URL.",
            cause,
          }),
        ),
      );
    });
    return child;
  } finally {
    await log.close();
  }
}

async function stopServer(server: ChildProcess): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    if (server.exitCode !== null || server.signalCode !== null) resolve();
    else server.once("exit", () => resolve());
  });
  // Fast shutdown, then immediate shutdown, then a kill. None of them loses committed data.
  for (const [signal, graceMs] of [
    ["SIGINT", 20_000],
    ["SIGQUIT", 5000],
    ["SIGKILL", 5000],
  ] as const) {
    server.kill(signal);
    const grace = new AbortController();
    const done = await Promise.race([
      ended.then(() => true),
      sleep(graceMs, false, { signal: grace.signal }).catch(() => false),
    ]);
    grace.abort();
    if (done) return;
  }
}

async function readOrCreatePassword(dataDirectory: string): Promise<string> {
  const file = path.join(dataDirectory, "postgres-password");
  const existing = await readFile(file, "utf8").catch(() => "");
  if (existing.trim()) return existing.trim();
  const password = randomBytes(24).toString("hex");
  await writeFileAtomically(file, `${password}\n`, 0o600);
  return password;
}

/**
 * Creates a short private directory for the socket, and records it in the data directory. The socket can't be in the
 * data directory, because its path may have at most 107 bytes.
 */
async function createRuntimeDirectory(dataDirectory: string, account: Account | null): Promise<string> {
  const parent = tmpdir().length <= 60 ? tmpdir() : "/tmp";
  const directory = await mkdtemp(path.join(parent, runtimePrefix));
  await chmod(directory, 0o700);
  await mkdir(path.join(directory, "native"));
  await mkdir(path.join(directory, "data"));
  if (account) await chown(directory, account.uid, account.gid);
  await writeFileAtomically(runtimeRecord(dataDirectory), `${directory}\n`, 0o600);
  return directory;
}

async function removeRuntimeDirectory(dataDirectory: string): Promise<void> {
  const record = runtimeRecord(dataDirectory);
  const directory = (await readFile(record, "utf8").catch(() => "")).trim();
  if (path.basename(directory).startsWith(runtimePrefix) && existsSync(directory)) {
    // Delete by name, never recursively. If a mount was left on one of these, rmdir fails and the data stays.
    for (const name of [`.s.PGSQL.${port}`, `.s.PGSQL.${port}.lock`, "password"]) {
      await rm(path.join(directory, name), { force: true });
    }
    for (const name of ["native", "data", "."]) {
      await rmdir(path.join(directory, name === "." ? "" : name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT" && error.code !== "ENOTEMPTY" && error.code !== "EBUSY") throw error;
      });
    }
  }
  await rm(record, { force: true });
}

function runtimeRecord(dataDirectory: string): string {
  return path.join(dataDirectory, "postgres-runtime");
}

function logPath(dataDirectory: string): string {
  return path.join(dataDirectory, "postgres.log");
}

async function rotateLog(dataDirectory: string): Promise<void> {
  const file = logPath(dataDirectory);
  if ((await logSize(dataDirectory)) > 10_000_000) await rename(file, `${file}.1`);
}

async function logSize(dataDirectory: string): Promise<number> {
  return await stat(logPath(dataDirectory)).then(
    ({ size }) => size,
    () => 0,
  );
}

async function lastLogLines(dataDirectory: string): Promise<string> {
  const text = await readFile(logPath(dataDirectory), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-5).join("\n");
}

/** @param logStart Offset in the log where this start begins. */
async function failed(what: string, dataDirectory: string, logStart: number): Promise<AirlockError> {
  const log = await readFile(logPath(dataDirectory)).catch(() => Buffer.alloc(0));
  if (saysNoSpace(log.toString("utf8", logStart))) {
    return new AirlockError(`${what}: no space left on the disk of ${dataDirectory}`, {
      code: "no-space",
      hint: "Free space on that disk and start the instance again. No committed data is lost.",
    });
  }
  return new AirlockError(what, {
    code: "postgres-failed",
    hint: `See the end of its log, ${logPath(dataDirectory)}.`,
  });
}
