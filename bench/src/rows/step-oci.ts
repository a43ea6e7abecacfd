import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createOciRuntime } from "@airlock/runtime/oci";
import { busyboxImage, dockerArchive, loadImage, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Subject } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { bareBundle, installedRuntimes, prepareBareHost } from "./bare-runtime.ts";
import { sandboxSubjects } from "./sandbox-subjects.ts";
import { timeCommand } from "./time-command.ts";

const image = "airlock-bench:latest";

/**
 * Compares a step of the `oci` runtime with the bare OCI runtime on an unpacked root file system, and with `docker run
 * --rm`.
 */
export async function stepOci(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 30;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting engines");
  const { engines } = cleanup.use(await startEngines(["docker", "oci"]));
  if (!engines.oci) throw new Error(`this row needs an OCI runtime: ${engines.missing.oci}`);
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const fixture = await busyboxImage();
  const archive = path.join(directory.path, "image.tar");
  await writeFile(archive, await dockerArchive(fixture, image));

  const host = cleanup.use(await prepareBareHost());
  const subjects: Subject[] = [];
  const comparisons: (readonly [string, string, number | null])[] = [];
  const runtimes = installedRuntimes(engines.oci.runtimePath);
  for (const runtimePath of runtimes) {
    const name = path.basename(runtimePath);
    const runtime = await createOciRuntime({
      stateDir: path.join(directory.path, name),
      runtimePath,
      allowHostImage: false,
    });
    cleanup.defer(() => runtime.close());
    await runtime.loadImages(archive, { signal: new AbortController().signal });
    const ours = cleanup.use(await sandboxSubjects(runtime, image));
    const bare = await bareBundle(
      runtimePath,
      path.join(directory.path, `${name}-bundle`),
      fixture.plainLayers,
      host.prefix,
    );
    subjects.push(...ours.subjects.map((subject) => ({ ...subject, name: `${name}: ${subject.name}` })), bare);
    comparisons.push([`${name}: further step`, bare.name, 3], [`${name}: first step`, bare.name, null]);
  }
  if (engines.docker) {
    await loadImage(fixture, engines.docker.socketPath, image);
    const args = ["-H", `unix://${engines.docker.socketPath}`, "run", "--rm", image, "/bin/sh", "-c", "echo hi"];
    subjects.push({ name: "docker run --rm", run: () => timeCommand("docker", args) });
    for (const runtimePath of runtimes)
      comparisons.push([`${path.basename(runtimePath)}: further step`, "docker run --rm", 0.1]);
  }

  const [enter, ...enterArgs] = host.prefix;
  if (enter)
    subjects.push({ name: "nsenter", run: () => timeCommand(enter, [...enterArgs, "/bin/sh", "-c", "echo hi"]) });
  const samples = await runPaired(subjects, { rounds, warmup: 2, progress: options.progress });
  return {
    bench: "step overhead, oci",
    rounds,
    samples,
    comparisons: comparisons.map(([name, against, target]) => compare(samples, name, against, target)),
    notes: [
      "A further step is one whose job said that it comes: its mounts and cgroups are made ready after the step before, off the clock.",
      "`… run`: the bare OCI runtime with the bundle that its `spec` command writes, from spawn to exit.",
      ...(host.prefix.length > 0
        ? [
            "This host mounts cgroups v1 and v2: the bare runs go through `nsenter`; `nsenter` alone is what that costs.",
          ]
        : []),
    ],
  };
}
