import { createDockerRuntime } from "@airlock/runtime/docker";
import { busyboxImage, loadImage, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { sandboxSubjects } from "./sandbox-subjects.ts";
import { timeCommand } from "./time-command.ts";

const image = "airlock-bench:latest";

/** Compares a step of the `docker` runtime with `docker run --rm` of the same image and command on the same engine. */
export async function stepDocker(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 20;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting a Docker engine");
  const { engines } = cleanup.use(await startEngines(["docker"]));
  if (!engines.docker) throw new Error(`this row needs Docker: ${engines.missing.docker}`);
  await loadImage(await busyboxImage(), engines.docker.socketPath, image);
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const host = `unix://${engines.docker.socketPath}`;
  const runtime = await createDockerRuntime({ host, allowHostImage: false, workspaces: { dir: directory.path } });
  cleanup.defer(() => runtime.close());
  const { subjects } = cleanup.use(await sandboxSubjects(runtime, image));

  const dockerRun = (...flags: string[]) =>
    timeCommand("docker", ["-H", host, "run", "--rm", ...flags, image, "/bin/sh", "-c", "echo hi"]);
  const samples = await runPaired(
    [
      ...subjects,
      { name: "docker run --rm", run: () => dockerRun() },
      { name: "docker run --rm --network none", run: () => dockerRun("--network", "none") },
    ],
    { rounds, warmup: 2, progress: options.progress },
  );
  return {
    bench: "step overhead, docker",
    rounds,
    samples,
    comparisons: [
      compare(samples, "first step", "docker run --rm", 0.5),
      compare(samples, "further step", "docker run --rm", 0.25),
      compare(samples, "first step", "docker run --rm --network none", null),
      compare(samples, "further step", "docker run --rm --network none", null),
    ],
    notes: [
      "A first step is sandbox, image check, step and giving everything back; `docker run` is the CLI, from spawn to exit.",
    ],
  };
}
