import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

const repositoryRoot = path.resolve(import.meta.dirname, "../../../..");

const Published = z.object({ url: z.url() });

/** A real instance as a process of its own. Disposing stops it and deletes its data. */
export interface InstanceProcess extends AsyncDisposable {
  readonly url: string;
  readonly administratorToken: string;
  readonly executorToken: string;
}

/** @param webDirectory The built web UI. */
export async function startInstanceProcess(webDirectory: string): Promise<InstanceProcess> {
  await using resources = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(path.join(tmpdir(), "airlock-web-test-"));
  resources.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const child = spawn(process.execPath, ["apps/instance/src/main.ts"], {
    cwd: repositoryRoot,
    env: {
      PATH: process.env.PATH,
      AIRLOCK_DATA_DIR: dataDirectory,
      AIRLOCK_LISTEN: "127.0.0.1:0",
      AIRLOCK_WEB_DIR: webDirectory,
      AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true",
      AIRLOCK_LOG_LEVEL: "warn",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
  }
  resources.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  });
  const read = async (name: string) => {
    const text = await readFile(path.join(dataDirectory, name), "utf8").catch(() => undefined);
    return text?.trim() || undefined;
  };
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the instance ended with ${child.exitCode}: ${output}`);
    const [published, administratorToken, executorToken] = await Promise.all(
      ["instance.json", "token", "executor-token"].map(read),
    );
    if (published && administratorToken && executorToken) {
      const { url } = Published.parse(JSON.parse(published));
      const owned = resources.move();
      return { url, administratorToken, executorToken, [Symbol.asyncDispose]: () => owned.disposeAsync() };
    }
    await sleep(100);
  }
  throw new Error(`the instance did not start: ${output}`);
}
