import { createReadStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import type { ArtifactKind } from "@airlock/api";
import { AirlockError, type ErrorCode, errorMessage, formatBytes } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import { InstanceError } from "../instance-client/instance-error.ts";
import type { JobConnection } from "../instance-client/job-connection.ts";
import { retry } from "../instance-client/retry.ts";
import type { JobLog, LogEntry } from "../logs/job-log.ts";
import type { Git } from "../workspace/checkout/git.ts";
import type { CommitSource, JobDirectory } from "../workspace/job-directory.ts";
import { OutputGlobs } from "./output-globs.ts";
import { emptyReport, type OutputLimits, type PackReport, packOutputs } from "./pack-outputs.ts";
import { workspaceDiff } from "./workspace-diff.ts";

/** The results that a job keeps besides its log. */
export interface WantedResults {
  /** Globs of files in the workspace. */
  readonly outputs: readonly string[];
  /** Whether to keep the difference between the workspace and the commit. */
  readonly diff: boolean;
  /** Maximum size of one artifact as uploaded. */
  readonly maximumBytes: number;
}

export interface ResultsContext {
  readonly wanted: WantedResults;
  readonly instance: JobConnection;
  readonly git: Git;
  readonly log: JobLog;
  /** Must be stopped, so that nothing changes the workspace any more. */
  readonly sandbox: Sandbox;
  /** The commit that the workspace started from; `null` without a repository. */
  readonly commit: CommitSource | null;
  readonly directory: JobDirectory;
  readonly limits: OutputLimits;
  readonly signal: AbortSignal;
}

/** People read diffs and git applies them. This limit is far beyond what either can use. */
const maximumDiffBytes = 128 * 1024 * 1024;
const maximumDiffEntries = 500_000;
/** Git computes it outside the job's cgroup, so a hostile workspace must not keep it at work for long. */
const maximumDiffMs = 2 * 60_000;

/**
 * Uploads a job's results: the files that `outputs` names, and the workspace diff. Call it after all processes of the
 * job have ended. If the job itself prevents a result, the job's log says so, and nothing is thrown.
 * @throws when the executor or the instance fails.
 */
export async function keepResults(context: ResultsContext): Promise<void> {
  const { outputs, diff } = context.wanted;
  if (outputs.length > 0) await logged(context, "teardown.outputs", (entry) => keepOutputs(context, outputs, entry));
  if (diff) await logged(context, "teardown.diff", (entry) => keepDiff(context, entry));
}

async function keepOutputs(context: ResultsContext, patterns: readonly string[], entry: LogEntry): Promise<void> {
  const globs = new OutputGlobs(patterns);
  let report = emptyReport();
  let uploadedBytes = 0;
  await upload(
    context,
    "outputs.tar.gz",
    "file-archive",
    async function* (limit) {
      report = emptyReport();
      uploadedBytes = 0;
      const { sandbox, limits, signal } = context;
      const options = { limits, signal, maskPath: (path: Buffer) => context.log.maskPath(path) };
      const archive = Readable.from(packOutputs(sandbox, globs, report, options), { objectMode: false });
      for await (const bytes of gzip(archive)) {
        uploadedBytes += bytes.length;
        limit(uploadedBytes);
        yield bytes;
      }
    },
    () => hasOutputs(context, globs),
  );
  sayReport(entry, globs, report);
  if (report.files > 0) {
    const files = report.files === 1 ? "1 file" : `${report.files} files`;
    entry.note(`${files} kept, ${formatBytes(report.bytes)}, as outputs.tar.gz of ${formatBytes(uploadedBytes)}`);
  }

  async function hasOutputs({ sandbox, limits, signal }: ResultsContext, wanted: OutputGlobs): Promise<boolean> {
    report = emptyReport();
    // The first piece shows that there are outputs. An empty archive is not worth an upload.
    for await (const _ of packOutputs(sandbox, wanted, report, { limits, signal })) return true;
    return false;
  }
}

function sayReport(entry: LogEntry, { globs }: OutputGlobs, report: PackReport): void {
  for (const [index, glob] of globs.entries()) {
    if (!report.used.has(index)) entry.note(`warning: no file matches ${JSON.stringify(glob)}`);
  }
  for (const problem of report.problems) entry.note(problem);
  const unsaid = report.refusals - report.problems.length;
  if (unsaid > 0) entry.note(`${unsaid} more files were not kept`);
}

/** Compresses a stream. An error of the archive becomes an error of the result. */
function gzip(archive: Readable): AsyncIterable<Buffer> {
  const packed = createGzip({ level: 4 });
  archive.once("error", (error) => packed.destroy(error));
  packed.once("close", () => archive.destroy());
  archive.pipe(packed);
  return packed;
}

async function keepDiff(context: ResultsContext, entry: LogEntry): Promise<void> {
  const { sandbox, commit, git, directory, signal } = context;
  if (!commit) {
    entry.note("no diff: the job has no repository");
    return;
  }
  const diff = await workspaceDiff({
    git,
    sandbox,
    commit,
    scratchDir: join(await directory.path(), "diff"),
    limits: { maximumBytes: maximumDiffBytes, maximumEntries: maximumDiffEntries, maximumMs: maximumDiffMs },
    signal,
  });
  for (const problem of diff.problems) entry.note(problem);
  const { file } = diff;
  if (file === null) {
    entry.note("no diff: the workspace does not differ from the commit");
    return;
  }
  await upload(context, "workspace.diff", "diff", async function* (limit) {
    limit(diff.bytes);
    for await (const bytes of createReadStream(file)) yield bytes as Buffer;
  });
  entry.note(
    `workspace.diff of ${formatBytes(diff.bytes)} kept; apply it to a checkout of the commit with \`git apply\``,
  );
}

/** Uploads an artifact. After each temporary failure, starts again from the beginning. */
async function upload(
  { instance, wanted: { maximumBytes }, signal }: ResultsContext,
  name: string,
  kind: ArtifactKind,
  contents: (limit: (bytes: number) => void) => AsyncGenerator<Buffer>,
  isWanted: () => Promise<boolean> = async () => true,
): Promise<void> {
  if (!(await isWanted())) return;
  const limit = (bytes: number) => {
    if (bytes > maximumBytes) {
      throw new AirlockError(`${name} is larger than ${formatBytes(maximumBytes)}, the instance's limit`, {
        code: "artifact-too-large",
      });
    }
  };
  await retry(
    async () => {
      // An error of the source also breaks the connection. Keep the source's error, which is the cause.
      const broken: unknown[] = [];
      const source = contents(limit);
      async function* watched() {
        try {
          yield* source;
        } catch (error) {
          broken.push(error);
          throw error;
        }
      }
      try {
        await instance.uploadArtifact({ name, kind }, Readable.from(watched(), { objectMode: false }), signal);
      } catch (error) {
        throw broken[0] ?? error;
      }
    },
    { signal },
  );
}

/** Errors in a job's results that running the job again would not fix. */
const ofTheJob: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "artifact-too-large",
  "diff-too-large",
  "diff-too-slow",
  "diff-no-repository",
  "diff-failed",
  "too-many-files",
  "unreadable",
  "not-a-file",
  "checkout-invalid",
  // A limit of git that the workspace's own files have reached.
  "checkout-limit",
]);

async function logged(
  { log, signal }: ResultsContext,
  key: string,
  work: (entry: LogEntry) => Promise<void>,
): Promise<void> {
  const entry = log.open(key);
  try {
    await work(entry);
    entry.close(0);
  } catch (error) {
    entry.note(`not kept: ${errorMessage(error)}`);
    entry.close(1);
    signal.throwIfAborted();
    const refused = error instanceof InstanceError && (error.status === 413 || error.status === 422);
    if (refused || (error instanceof AirlockError && ofTheJob.has(error.code))) return;
    throw error;
  }
}
