import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { Sandbox } from "@airlock/runtime";
import { buildImage, busyboxLayer, dockerArchive } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { openMicrovmWorld } from "./microvm-world.ts";

const run = promisify(execFile);
const { signal } = new AbortController();
const files = 400;
const fileBytes = 250_000;
/** Each image takes a slot of the one machine. */
const maximumRounds = 10;

/**
 * Time to make the disk of an image of 100 MB whose layers are in the store, attach it and mount it. Peers: `cp -a` of
 * the same files, and `mke2fs -d`, which makes such a disk from a directory.
 */
export async function microvmDisk(options: BenchOptions): Promise<BenchResult> {
  const rounds = Math.min(options.rounds ?? 5, maximumRounds);
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting a machine");
  const world = cleanup.use(await openMicrovmWorld());
  const runtime = await world.open("disk");
  cleanup.defer(() => runtime.close());
  const sandbox: Sandbox = cleanup.use(await world.createSandbox(runtime));
  const tree = path.join(world.directory, "tree");
  await mkdir(tree);
  for (let index = 0; index < files; index += 1)
    await writeFile(path.join(tree, `file-${index}`), randomBytes(fileBytes));
  const copy = path.join(world.directory, "copy");
  const disk = path.join(world.directory, "peer.ext4");

  const makeOurs = async (round: number): Promise<number> => {
    const reference = `airlock-bench-disk:${round + 1}`;
    const entries = Array.from({ length: files }, (_, index) => ({
      name: `files/file-${index}`,
      content: randomBytes(fileBytes),
    }));
    const archive = path.join(world.directory, "disk.tar");
    await writeFile(archive, await dockerArchive(await buildImage([await busyboxLayer(), entries]), reference));
    await runtime.loadImages(archive, { signal });
    const startedAt = performance.now();
    await sandbox.prepareImage(reference, { signal, progress: () => {} });
    return performance.now() - startedAt;
  };
  const copyTree = async (): Promise<number> => {
    const startedAt = performance.now();
    await run("cp", ["-a", tree, copy]);
    const ms = performance.now() - startedAt;
    await rm(copy, { recursive: true });
    return ms;
  };
  const makePeer = async (): Promise<number> => {
    await writeFile(disk, "");
    await truncate(disk, 64 * 2 ** 30);
    const startedAt = performance.now();
    await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, disk]);
    const ms = performance.now() - startedAt;
    await rm(disk);
    return ms;
  };
  const samples = await runPaired(
    [
      { name: "disk of an image", run: makeOurs },
      { name: "cp -a", run: copyTree },
      { name: "mke2fs -d", run: makePeer },
    ],
    { rounds, warmup: 1, progress: options.progress },
  );
  return {
    bench: "microvm-disk: the disk of an image of 100 MB",
    rounds,
    samples,
    comparisons: [
      compare(samples, "disk of an image", "mke2fs -d", 1),
      compare(samples, "disk of an image", "cp -a", null),
    ],
    notes: [`${files} files of ${fileBytes / 1000} kB. The layers are unpacked in the store already.`],
  };
}
