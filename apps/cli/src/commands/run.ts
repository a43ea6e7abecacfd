import { mkdir } from "node:fs/promises";
import path from "node:path";
import { JobSpec, type JobSpecInput } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import { localSource } from "../checkout/local-source.ts";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { describeFileError } from "../context/describe-file-error.ts";
import { localExitCodesHelp } from "../context/exit-codes.ts";
import { readJobFile } from "../job-file/read-job-file.ts";
import { runLocally } from "../local/run-locally.ts";

interface Options {
  readonly repo?: string;
  readonly committed?: boolean;
  readonly secret?: readonly string[];
  readonly artifacts?: string;
}

export function runCommand(context: CommandContext): Command {
  return new Command("run")
    .description("Run a job file on this machine, in the same sandbox as an executor, without an instance")
    .argument("<FILE>", "job file (YAML or JSON); - is standard input")
    .option("--repo <PATH>", "checkout for the workspace; default for a job with a repository: the job file's checkout")
    .option("--committed", "leave out uncommitted changes of the checkout")
    .option("--secret <NAME>", "give the job this secret, with its value in the environment (repeatable)", collect)
    .option("--artifacts <DIRECTORY>", "keep the job's outputs and its diff in this directory")
    .addHelpText(
      "after",
      `
The workspace gets the checkout's files as they are, also changed and untracked ones, not ignored ones. A job with another
revision than HEAD gets that commit. A job without a repository gets an empty workspace, unless --repo names a checkout.
The fields queue, namespace, priority and labels have no effect. Variables that begin with EXECUTOR_ configure the
sandbox, as for \`airlock executor\`.

Examples:
  airlock run job.yaml
  NPM_TOKEN=… airlock run job.yaml --secret NPM_TOKEN --artifacts out
  airlock run ci.yaml --repo ../app --committed
${localExitCodesHelp}`,
    )
    .action((file: string, options: Options) => run(context, file, options));
}

async function run(context: CommandContext, file: string, options: Options): Promise<void> {
  const job = await readJobFile(file, context);
  const spec = JobSpec.parse(job.spec);
  if (spec.upload) {
    throw new UsageError("the job uploads code indexes, which needs an instance", "Leave out `upload`, or submit it.");
  }
  const secrets = secretsOf(spec, options.secret ?? [], context.env);
  const wantsArtifacts = spec.outputs.length > 0 || spec.diff;
  const artifacts = options.artifacts === undefined ? null : path.resolve(context.cwd, options.artifacts);
  const directory = options.repo === undefined ? job.directory : path.resolve(context.cwd, options.repo);
  const wantsSource = options.repo !== undefined || spec.repository !== undefined;
  if (artifacts !== null) await makeDirectory(artifacts, options.artifacts ?? "");
  const source = wantsSource
    ? await localSource(directory, { revision: spec.revision, committed: options.committed ?? false, env: context.env })
    : null;
  const notes = [
    ...(source === null ? [] : [`the workspace is ${source.root} at ${source.description}`]),
    ...(wantsArtifacts && artifacts === null ? ["outputs and diff are not kept without --artifacts"] : []),
  ];
  const request = {
    spec: job.spec as JobSpecInput,
    source: source && { root: source.root, commit: source.commit },
    secrets,
    artifacts,
  };
  context.setExitCode(await runLocally(context, request, notes.map(plainText)));
}

/** Values of the secrets that the steps name. Only those that the command line names leave the environment. */
function secretsOf(spec: JobSpec, given: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  const wanted = new Set(spec.steps.flatMap(({ secrets }) => secrets.map(({ name }) => name)));
  const unused = given.find((name) => !wanted.has(name));
  if (unused !== undefined) {
    const names = wanted.size === 0 ? "The job uses no secrets." : `The job uses ${[...wanted].join(", ")}.`;
    throw new UsageError(`--secret ${plainText(unused)}: no step of the job uses this secret`, names);
  }
  const missing = [...wanted].filter((name) => !given.includes(name));
  if (missing.length > 0) {
    throw new UsageError(
      `the job uses the ${missing.length === 1 ? "secret" : "secrets"} ${missing.join(", ")}`,
      `Set the value in the environment, and add ${missing.map((name) => `--secret ${name}`).join(" ")}.`,
    );
  }
  return Object.fromEntries(
    [...wanted].map((name) => {
      const value = env[name];
      if (value === undefined || value === "") {
        throw new UsageError(`--secret ${name}: the environment has no variable ${name}`, `Set ${name} to the value.`);
      }
      return [name, value];
    }),
  );
}

async function makeDirectory(directory: string, name: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    throw new UsageError(`--artifacts ${name}: cannot be used: ${describeFileError(cause)}`, undefined, { cause });
  }
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
