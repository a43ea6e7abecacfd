import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createOciRuntime } from "@airlock/runtime/oci";
import { busyboxImage, dockerArchive, loadImage, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../main.ts";
import { runPaired, type Subject } from "../paired.ts";
import { type BenchResult, compare } from "../result.ts";
import { sandboxSubjects } from "./sandbox-subjects.ts";
import { timeCommand } from "./time-command.ts";

const image = "airlock-bench:latest";

/** A step of the `oci` runtime against the bare OCI runtime on an unpacked root file system, and `docker run --rm`. */
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
  const runtimes = [engines.oci.runtimePath, "/usr/sbin/runc", "/usr/bin/runc"].filter(
    (file, index, all) =>
      existsSync(file) && all.findIndex((other) => path.basename(other) === path.basename(file)) === index,
  );
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
      "`… run`: the bare OCI runtime with the bundle that its `spec` command writes, from spawn to exit.",
      ...(host.prefix.length > 0
        ? [
            "This host mounts cgroups v1 and v2: the bare runs go through `nsenter`; `nsenter` alone is what that costs.",
          ]
        : []),
    ],
  };
}

/** Runs a program where the OCI runtime works, and what that way costs by itself. */
interface BareHost extends AsyncDisposable {
  readonly prefix: readonly string[];
}

/**
 * crun refuses a hybrid cgroup mount even when it is told to leave cgroups alone: there it runs in a mount namespace
 * without that mount, which one process holds open for the whole bench.
 */
async function prepareBareHost(): Promise<BareHost> {
  if (!existsSync("/sys/fs/cgroup/unified")) return { prefix: [], async [Symbol.asyncDispose]() {} };
  const holder = spawn(
    "unshare",
    ["--mount", "--propagation", "slave", "sh", "-c", "umount /sys/fs/cgroup/unified && echo ready && exec cat"],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  await once(holder.stdout, "data");
  return {
    prefix: ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`],
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await once(holder, "exit");
    },
  };
}

async function bareBundle(
  runtimePath: string,
  bundle: string,
  layers: readonly Buffer[],
  prefix: readonly string[],
): Promise<Subject> {
  const rootfs = path.join(bundle, "rootfs");
  await mkdir(rootfs, { recursive: true });
  for (const layer of layers) execFileSync("tar", ["-x", "-C", rootfs], { input: layer });
  execFileSync(runtimePath, ["spec"], { cwd: bundle });
  const configPath = path.join(bundle, "config.json");
  const config = JSON.parse(await readFile(configPath, "utf8")) as {
    process: { terminal: boolean; args: string[]; rlimits?: unknown };
  };
  config.process.terminal = false;
  config.process.args = ["/bin/sh", "-c", "echo hi"];
  // The template's limits may be above this machine's hard limits, which not even root may raise everywhere.
  delete config.process.rlimits;
  await writeFile(configPath, JSON.stringify(config));
  const name = path.basename(runtimePath);
  const global = name === "crun" ? ["--cgroup-manager=disabled"] : [];
  const state = path.join(bundle, "state");
  let runs = 0;
  const command = () => [
    ...prefix,
    runtimePath,
    "--root",
    state,
    ...global,
    "run",
    "--bundle",
    bundle,
    `bench-${process.pid}-${runs++}`,
  ];
  return {
    name: `${name} run`,
    run: () => {
      const [file = "", ...args] = command();
      return timeCommand(file, args);
    },
  };
}
