import { execFile } from "node:child_process";
import { once } from "node:events";
import { glob, mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import {
  busyboxImage,
  createDatabase,
  dockerArchive,
  type PostgresEngine,
  startPostgresEngine,
} from "@airlock/test-kit";
import { type CuttingProxy, startCuttingProxy } from "./cutting-proxy.ts";
import type { Blow } from "./plan.ts";
import { Program, root } from "./program.ts";

const executorProgram = "apps/executor/src/main.ts";
export const administratorToken = "chaos-administrator-token";

export type ChaosRuntime = "oci" | "microvm";

/** Image of the jobs' steps. */
export const jobImage: Readonly<Record<ChaosRuntime, string>> = { oci: "host", microvm: "chaos/shell:1" };

export interface WorldOptions {
  readonly runtime: ChaosRuntime;
  /** Directory for the programs' data directories and logs. */
  readonly directory: string;
  readonly instances: number;
  readonly executors: number;
  /** Number of concurrent jobs per executor. */
  readonly slots: number;
}

/** Instances behind a proxy, executors and one PostgreSQL server: everything that a fault can hit. */
export interface World extends AsyncDisposable {
  /** URL of the proxy. */
  readonly url: string;
  readonly executorDirectories: readonly string[];
  /** Applies the fault, waits, and brings the victim back. */
  strike(blow: Blow): Promise<void>;
  /** Restarts everything that is down and waits until an instance answers. */
  recover(): Promise<void>;
  /** Stops the executors as an administrator would. What remains afterwards is a leftover. */
  stopExecutors(): Promise<void>;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  await using cleanup = new AsyncDisposableStack();
  const postgres: PostgresEngine = cleanup.use(await startPostgresEngine());
  const database = await createDatabase(postgres.url);
  const secret = "chaos-executor-secret-token";

  const ports: number[] = [];
  const instances: Program[] = [];
  const proxy: CuttingProxy = cleanup.use(await startCuttingProxy(() => ports));
  for (let index = 0; index < options.instances; index += 1) {
    const dataDir = path.join(options.directory, `instance-${index}`);
    await mkdir(dataDir, { recursive: true });
    const port = await freePort();
    ports.push(port);
    const env = {
      AIRLOCK_LISTEN: `127.0.0.1:${port}`,
      AIRLOCK_DATA_DIR: dataDir,
      AIRLOCK_DATABASE_URL: database.url,
      AIRLOCK_TOKEN: administratorToken,
      AIRLOCK_EXECUTOR_TOKEN: secret,
      AIRLOCK_EXTERNAL_URL: proxy.url,
    };
    instances.push(
      cleanup.use(
        await Program.start("apps/instance/src/main.ts", env, path.join(options.directory, `instance-${index}.log`)),
      ),
    );
    // The first instance migrates the database, so that the others need not wait for the advisory lock.
    await untilHealthy(`http://127.0.0.1:${port}`);
  }

  const executors: Program[] = [];
  const executorDirectories: string[] = [];
  for (let index = 0; index < options.executors; index += 1) {
    const dataDir = path.join(options.directory, `executor-${index}`);
    executorDirectories.push(dataDir);
    const env = {
      HOME: options.directory,
      EXECUTOR_FRONTEND_URL: proxy.url,
      EXECUTOR_FRONTEND_PASSWORD: secret,
      EXECUTOR_QUEUE_NAME: "default",
      // Executor names change at each start. The label tells which of our executors it is.
      EXECUTOR_LABELS: `chaos=${index}`,
      EXECUTOR_RUNTIME: options.runtime,
      ...(options.runtime === "oci" ? { EXECUTOR_ALLOW_HOST_IMAGE: "true" } : {}),
      // Without egress, an executor that is killed for good leaves nothing behind in this machine's network.
      EXECUTOR_DEFAULT_EGRESS: "none",
      EXECUTOR_DATA_DIR: dataDir,
      EXECUTOR_MAXIMUM_NUM_JOBS: String(options.slots),
      EXECUTOR_JOB_NUM_CPUS: "1",
      EXECUTOR_JOB_MEMORY: "256Mi",
      EXECUTOR_CLEANUP_TASK_INTERVAL: "5s",
      SRC_LOG_FORMAT: "json",
    };
    const log = path.join(options.directory, `executor-${index}.log`);
    if (options.runtime === "microvm") await prepareMachines(env, executorDirectories[0] ?? dataDir, options.directory);
    executors.push(cleanup.use(await Program.start(executorProgram, env, log)));
  }

  let databaseDown = false;
  const restartDatabase = async (): Promise<void> => {
    if (!databaseDown) return;
    await postgres.restart();
    databaseDown = false;
  };

  const owned = cleanup.move();
  return {
    url: proxy.url,
    executorDirectories,
    async strike({ victim, index, downMs }) {
      if (victim === "connections") {
        proxy.cut();
        return;
      }
      if (victim === "database") {
        if (databaseDown) return;
        databaseDown = true;
        await postgres.crash();
        await sleep(downMs);
        await restartDatabase();
        return;
      }
      const program = (victim === "executor" ? executors : instances)[index];
      if (!program) throw new RangeError(`no ${victim} ${index}`);
      await program.kill();
      await sleep(downMs);
      program.start();
    },
    async recover() {
      await restartDatabase();
      for (const program of [...instances, ...executors]) program.start();
      await untilHealthy(proxy.url);
    },
    async stopExecutors() {
      await Promise.all(executors.map((executor) => executor.kill("SIGTERM")));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Gives an executor what its virtual machines need: the guest, which the first executor's installation builds for all of
 * them, and the image of the jobs.
 */
async function prepareMachines(env: Readonly<Record<string, string>>, first: string, directory: string): Promise<void> {
  const isFirst = env.EXECUTOR_DATA_DIR === first;
  const guest = isFirst ? await kernelPackageArguments() : ["--from", path.join(first, "guest")];
  await runExecutorCommand(env, ["install", "microvm", ...guest]);
  const archive = path.join(directory, "image.tar");
  if (isFirst) await writeFile(archive, await dockerArchive(await busyboxImage(), jobImage.microvm));
  await runExecutorCommand(env, ["image", "load", archive]);
}

/** The suites of virtual machines keep the kernel's package. Without it, the installation downloads one. */
async function kernelPackageArguments(): Promise<readonly string[]> {
  for await (const file of glob(path.join(root, "node_modules/.cache/airlock-guest/*.deb"))) {
    return ["--kernel-package", file];
  }
  return [];
}

async function runExecutorCommand(env: Readonly<Record<string, string>>, args: readonly string[]): Promise<void> {
  const command = [path.join(root, executorProgram), ...args];
  await promisify(execFile)(process.execPath, command, { env: { PATH: process.env.PATH, ...env } });
}

async function untilHealthy(url: string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const status = await fetch(`${url}/healthz`).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0,
    );
    if (status === 200) return;
    await sleep(100);
  }
  throw new Error(`${url}/healthz does not answer; see the programs' logs`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
