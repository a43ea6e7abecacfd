import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { buildPrograms } from "../measuring/build-programs.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";

/** Time after its first poll, long enough for an idle executor to settle. */
const restMs = 5000;
const targetMegabytes = 80;

/** Resident memory of an idle executor, as `npm run build` ships it. Floor: an idle Node process. */
export async function idleExecutor(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  const bundle = path.join(await buildPrograms(options.progress), "executor.mjs");
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const instance = await startWaitingInstance();
  cleanup.defer(() => {
    instance.server.closeAllConnections();
    instance.server.close();
  });
  const environment = {
    PATH: process.env.PATH ?? "",
    EXECUTOR_RUNTIME: "oci",
    SRC_LOG_LEVEL: "error",
    EXECUTOR_DATA_DIR: path.join(directory.path, "executor"),
    EXECUTOR_FRONTEND_URL: instance.url,
    EXECUTOR_FRONTEND_PASSWORD: "bench-executor-secret-token",
    EXECUTOR_QUEUE_NAME: "default",
  };
  const samples = await runPaired(
    [
      {
        name: "executor",
        run: async () => {
          const polled = instance.nextPoll();
          return await residentMegabytes([bundle, "run"], environment, polled);
        },
      },
      { name: "bare node", run: () => residentMegabytes(["-e", "setInterval(() => {}, 1e6)"], environment, null) },
    ],
    { rounds, warmup: 0, progress: options.progress },
  );
  return {
    bench: "idle-executor: resident memory while it waits for jobs",
    unit: "MB",
    rounds,
    samples,
    comparisons: [compare(samples, "executor", "bare node", null)],
    notes: [
      `Target: p50 of \`executor\` ≤ ${targetMegabytes} MB, on the oci runtime, ${restMs / 1000} s after its first poll.`,
    ],
  };
}

/** Starts Node with these arguments, lets it settle, and returns its resident set size in MB (10⁶ bytes). */
async function residentMegabytes(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  ready: Promise<void> | null,
): Promise<number> {
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  try {
    await Promise.race([ready, exited.then(() => Promise.reject(new Error("the program ended at once")))]);
    await sleep(restMs);
    return await residentSet(child);
  } finally {
    child.kill("SIGTERM");
    await exited;
  }
}

async function residentSet({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6;
}

/** The part of an instance that an executor without jobs needs: it keeps each dequeue request open. */
async function startWaitingInstance(): Promise<{
  readonly url: string;
  readonly server: Server;
  readonly nextPoll: () => Promise<void>;
}> {
  let onPoll = (): void => {};
  const server = createServer((request, response) => {
    request.resume();
    if (!request.url?.endsWith("/dequeue")) return response.end('{"knownIds":[],"cancelIds":[]}');
    onPoll();
    const timer = setTimeout(() => response.writeHead(204).end(), 20_000);
    return response.once("close", () => clearTimeout(timer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    nextPoll: () =>
      new Promise((resolve) => {
        onPoll = resolve;
      }),
  };
}
