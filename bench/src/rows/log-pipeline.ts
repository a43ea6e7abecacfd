import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import type { Socket } from "node:net";
import path from "node:path";
import { busyboxImage, loadImage, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { median, runPaired, type Sample } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { LogSinkInstance, type PrintJob, sinkSecret } from "./log-sink-instance.ts";

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));
const image = "airlock-bench:latest";
const megabytes = 1_000_000;
/** How often one round prints the file. The flat-memory check prints it four times as often. */
const fileBytes = 64 * megabytes;
const copies = 8;
const flatCopies = 32;
/** File in the working directory, which the steps share. */
const file = "log";
const line = "2026-01-01T00:00:00Z INFO request handled path=/api/v1/jobs status=200 durationMs=17 bytes=5120";
const fill = `yes '${line}' | head -c ${fileBytes} > ${file}`;
const print = (times: number) => `cat ${Array.from({ length: times }, () => file).join(" ")}`;
const secrets = Array.from({ length: 10 }, (_, index) => `secret-${index}-${"x7Qp".repeat(3 + index)}`);

/**
 * Measures the output of a step through the whole executor: read, redacted, spooled, and sent to an instance that only
 * counts it. For docker it is compared with reading and discarding the attach stream of the same engine.
 */
export async function logPipeline(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting engines");
  const { engines } = cleanup.use(await startEngines(["docker", "oci"]));
  if (!engines.oci) throw new Error(`this row needs an OCI runtime: ${engines.missing.oci}`);
  if (!engines.docker) throw new Error(`this row needs Docker: ${engines.missing.docker}`);
  const { socketPath } = engines.docker;
  await loadImage(await busyboxImage(), socketPath, image);
  const oci = cleanup.use(await startExecutor({ EXECUTOR_RUNTIME: "oci" }));
  const docker = cleanup.use(await startExecutor({ EXECUTOR_RUNTIME: "docker", DOCKER_HOST: `unix://${socketPath}` }));
  const job = (name: string, times: number): PrintJob => ({
    image: name,
    prepare: [fill],
    print: print(times),
    secrets,
  });

  const samples = await runPaired(
    [
      { name: "oci", run: async () => (await oci.instance.run(job("host", copies))).ms },
      { name: "docker", run: async () => (await docker.instance.run(job(image, copies))).ms },
      { name: "attach stream", run: () => timeAttach(socketPath, `${fill}; echo begin >&2; ${print(copies)}`) },
    ],
    { rounds, warmup: 1, progress: options.progress },
  );
  options.progress("memory while 2 GB are printed");
  const memory = await oci.watchMemory(() => oci.instance.run(job("host", flatCopies)));
  const rate = (name: string) => megabytesPerSecond(samples, name);
  return {
    bench: `log pipeline, ${(copies * fileBytes) / megabytes} MB, ${secrets.length} secrets redacted`,
    rounds,
    samples,
    comparisons: [compare(samples, "docker", "attach stream", 1.25)],
    notes: [
      `oci ${rate("oci")} MB/s (target ≥ 200), docker ${rate("docker")} MB/s, attach stream ${rate("attach stream")} MB/s.`,
      `Executor's resident memory: ${memory.beforeMb} MB before a job printed ${(flatCopies * fileBytes) / megabytes} MB, at most ${memory.peakMb} MB meanwhile, ${memory.afterMb} MB after.`,
    ],
  };
}

function megabytesPerSecond(samples: readonly Sample[], name: string): number {
  const ms = median(samples.find((sample) => sample.name === name)?.values ?? []);
  return Math.round((copies * fileBytes) / megabytes / (ms / 1000));
}

interface BenchExecutor extends AsyncDisposable {
  readonly instance: LogSinkInstance;
  watchMemory(work: () => Promise<unknown>): Promise<{ beforeMb: number; peakMb: number; afterMb: number }>;
}

async function startExecutor(env: Readonly<Record<string, string>>): Promise<BenchExecutor> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const instance = cleanup.use(await LogSinkInstance.start());
  const child = spawn(process.execPath, [path.join(root, "apps/executor/src/main.ts"), "run"], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env.PATH,
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: sinkSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_QUEUE_POLL_INTERVAL: "50ms",
      EXECUTOR_DATA_DIR: directory.path,
      EXECUTOR_ALLOW_HOST_IMAGE: "true",
      EXECUTOR_MAXIMUM_LOG_SIZE: "8G",
      EXECUTOR_MAXIMUM_LOG_RATE: "0",
      SRC_LOG_LEVEL: "error",
      ...env,
    },
  });
  const exited = once(child, "exit");
  cleanup.defer(async () => {
    child.kill("SIGTERM");
    await exited;
  });
  const residentMb = async () => {
    const status = await readFile(`/proc/${child.pid}/status`, "utf8");
    return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1000);
  };
  const owned = cleanup.move();
  return {
    instance,
    watchMemory: async (work) => {
      const beforeMb = await residentMb();
      let peakMb = beforeMb;
      const timer = setInterval(async () => {
        peakMb = Math.max(peakMb, await residentMb());
      }, 100);
      try {
        await work();
      } finally {
        clearInterval(timer);
      }
      return { beforeMb, peakMb, afterMb: await residentMb() };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Time to read a container's output from the engine's attach stream, without a log driver: from its mark on stderr to
 * its end.
 */
async function timeAttach(socketPath: string, script: string): Promise<number> {
  const body = {
    Image: image,
    Cmd: ["/bin/sh", "-c", script],
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: { LogConfig: { Type: "none" }, NetworkMode: "none", AutoRemove: true },
  };
  const { Id } = JSON.parse(await engineCall(socketPath, "/containers/create", JSON.stringify(body))) as { Id: string };
  const attach = request({
    socketPath,
    method: "POST",
    path: `/containers/${Id}/attach?stream=1&stdout=1&stderr=1`,
    headers: { connection: "Upgrade", upgrade: "tcp" },
  });
  attach.end();
  const [, socket] = (await once(attach, "upgrade")) as [unknown, Socket];
  let startedAt = 0;
  socket.on("data", () => {
    startedAt ||= performance.now();
  });
  const closed = once(socket, "close");
  await engineCall(socketPath, `/containers/${Id}/start`, "");
  await closed;
  return performance.now() - startedAt;
}

async function engineCall(socketPath: string, route: string, body: string): Promise<string> {
  const call = request({ socketPath, method: "POST", path: route, headers: { "content-type": "application/json" } });
  call.end(body);
  const [response] = await once(call, "response");
  let text = "";
  for await (const bytes of response) text += String(bytes);
  if (response.statusCode > 299) throw new Error(`${route} was answered ${response.statusCode}: ${text}`);
  return text;
}
