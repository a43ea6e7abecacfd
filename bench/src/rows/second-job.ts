import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import path from "node:path";
import { promisify } from "node:util";
import {
  createDatabase,
  makeRepository,
  type RepositoryFile,
  startEngines,
  temporaryDirectory,
} from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { startExecutor } from "./bench-executor.ts";
import { startInstance } from "./bench-instance.ts";
import { jobHeaders, takeJob } from "./idle-hands.ts";
import { rest, type SeenJob, submitJob, untilCompleted } from "./jobs.ts";

const run = promisify(execFile);
const warmup = 2;
const fileCount = 4000;
const fileBytes = 4096;

/**
 * Measures how long a further job's workspace of a repository takes. Floor: `git fetch --depth 1` and a checkout of the
 * same commit into an empty directory, from the same instance.
 */
export async function secondJob(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 10;
  await using cleanup = new AsyncDisposableStack();
  options.progress("making a repository");
  const { engines } = cleanup.use(await startEngines(["postgres", "oci"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const repository = path.join(directory.path, "repository.git");
  const { commits } = await makeRepository(repository, [
    { message: "Start", files: Array.from({ length: fileCount }, (_, index) => file(index)) },
    ...Array.from({ length: rounds + warmup + 1 }, (_, index) => ({
      message: `Change ${index}`,
      files: Array.from({ length: 20 }, (_, each) => file((index * 20 + each) % fileCount)),
    })),
  ]);
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const settings = { AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" };
  const instance = cleanup.use(await startInstance(database.url, [], settings));
  await rest(instance.url, "POST", "/queues", { name: "floor" });
  cleanup.use(await startExecutor(instance, { dataDir: path.join(directory.path, "executor"), label: "one" }));

  // This job's token reads the repository, so the job is never ended.
  await rest(instance.url, "PATCH", "/queues/floor", { leaseMs: 3_600_000 });
  const commitOf = (round: number): string => commits[round + warmup + 1] ?? "";
  const { name } = await rest<{ name: string }>(instance.url, "POST", "/repositories", { url: repository });
  await submitJob(instance.url, { ...jobOn(name, commitOf(-warmup - 1)), queue: "floor" });
  const { job } = await takeJob(instance.url, "floor", 30_000);
  const url = `${instance.url}/.executors/git/${name.split("/").map(encodeURIComponent).join("/")}`;
  const headers = Object.entries({ ...jobHeaders(job), "x-sourcegraph-actor-uid": "internal" });
  const configuration = headers.flatMap(([name, value]) => ["-c", `http.extraHeader=${name}: ${value}`]);

  const freshFetch = async (commit: string): Promise<number> => {
    await using fresh = await temporaryDirectory("airlock-bench-clone-");
    const git = (...args: string[]) => run("git", ["-C", fresh.path, ...configuration, ...args]);
    const startedAt = performance.now();
    await git("init", "--quiet");
    await git("fetch", "--quiet", "--depth", "1", url, commit);
    await git("checkout", "--quiet", "--force", commit);
    return performance.now() - startedAt;
  };
  const samples = await runPaired(
    [
      { name: "another commit", run: (round) => workspaceMs(instance.url, name, commitOf(round)) },
      { name: "same commit", run: (round) => workspaceMs(instance.url, name, commitOf(round)) },
      { name: "fresh shallow fetch", run: (round) => freshFetch(commitOf(round)) },
    ],
    { rounds, warmup, progress: options.progress },
  );
  return {
    bench: `second-job: the workspace of a further job on a repository of ${fileCount} files`,
    rounds,
    samples,
    comparisons: [
      compare(samples, "same commit", "fresh shallow fetch", 1 / 10),
      compare(samples, "another commit", "fresh shallow fetch", 1 / 3),
    ],
    notes: [
      "A job's time is that of its log entries `setup.fs.*` and `setup.git.*`; another commit changes 20 files.",
      "The fresh fetch is init, fetch and checkout by git itself, with the same credentials from the same instance.",
    ],
  };
}

function file(index: number): RepositoryFile {
  const content = randomBytes(fileBytes / 2).toString("hex");
  return { path: `src/${index % 50}/file-${index}.txt`, content };
}

function jobOn(repository: string, revision: string) {
  return { repository, revision, steps: [{ image: "host", run: "true" }] };
}

async function workspaceMs(url: string, repository: string, commit: string): Promise<number> {
  const id = await submitJob(url, jobOn(repository, commit));
  await untilCompleted(url, id);
  const { entries } = await rest<SeenJob>(url, "GET", `/jobs/${id}`);
  const setup = entries.filter(({ key }) => /^setup\.(?:fs|git)\./.test(key));
  if (!setup.some(({ key }) => key.startsWith("setup.git."))) throw new Error(`job ${id} had no repository`);
  return Math.max(
    1,
    setup.reduce((sum, { durationMs }) => sum + (durationMs ?? 0), 0),
  );
}
