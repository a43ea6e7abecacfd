import { randomUUID } from "node:crypto";
import type { JobView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { followExitCodesHelp } from "../../context/exit-codes.ts";
import { followJob } from "../../follow/follow-job.ts";
import { connect } from "../../instance/connect.ts";
import { type JobDraft, submitJob } from "../../instance/submit-job.ts";
import { jobPage } from "../../instance/web-link.ts";
import { readJobFile } from "../../job-file/read-job-file.ts";
import { refusedFlags, type SpecFlags, specFromCommand, specWithFlags } from "../../job-file/spec-from-flags.ts";
import { parseIdempotencyKey } from "../../options/name-arguments.ts";
import { openInBrowser } from "../../terminal/open-browser.ts";
import { printJson } from "../../terminal/print-json.ts";
import { ProgressLine } from "../../terminal/progress-line.ts";

interface Options extends SpecFlags {
  readonly file?: string;
  readonly repo?: string;
  readonly dirty?: boolean;
  readonly idempotencyKey?: string;
  readonly follow?: boolean;
  readonly cancelOnInterrupt?: boolean;
  readonly web?: boolean;
  readonly json?: boolean;
}

export function jobSubmitCommand(context: CommandContext): Command {
  return new Command("submit")
    .description("Submit a job: a job file, or one command in one image")
    .usage("[options] -f FILE\n       airlock job submit [options] --image IMAGE -- COMMAND…")
    .argument("[COMMAND...]", "command and arguments of the only step")
    .option("-f, --file <FILE>", "job file (YAML or JSON); - is standard input")
    .option(
      "--repo <REPOSITORY>",
      "name, URL or path of the repository; adds a URL or path that is new to the instance",
    )
    .option("--dirty", "with --repo PATH: run the working tree, with changed and untracked files, not ignored ones")
    .option("--rev <REVISION>", "branch, tag or commit, or refs/heads/NAME, refs/tags/NAME; default HEAD")
    .option("--depth <N>", "number of commits of history in the workspace, or full; default 1")
    .option("--tags", "also fetch the tags of that history, for `git describe`")
    .option("--path <PATH>", "check out only this directory or file (repeatable)", collect)
    .option("--image <IMAGE>", "image to run COMMAND in, or `host` where the executor allows it")
    .option("--queue <NAME>", "default: default")
    .option(
      "--env <NAME=VALUE>",
      "environment variable for every step (repeatable); NAME alone takes its value from this shell",
      collect,
    )
    .option(
      "--egress <POLICY>",
      "none, public, or a rule NAME_OR_RANGE[:PORT] (repeatable); default: the executor's policy",
      collect,
    )
    .option("--namespace <NAME>", "namespace of the job, which decides the secrets it can use; default: your own name")
    .option("--secret <NAME>", "give COMMAND this secret as an environment variable (repeatable)", collect)
    .option(
      "--secret-file <NAME>",
      "give COMMAND this secret as a file whose path is in NAME_FILE (repeatable)",
      collect,
    )
    .option("--timeout <DURATION>", "time limit of the whole job, such as 20m")
    .option("--cpus <N>", "CPU cores, such as 2 or 0.5")
    .option("--memory <SIZE>", "such as 512Mi or 4G")
    .option("--shm <SIZE>", "size of /dev/shm, which counts as memory, such as 1Gi")
    .option("--label <KEY=VALUE>", "run only on an executor with this label (repeatable)", collect)
    .option("--priority <N>", "-1000 to 1000; jobs with a higher priority run first")
    .option("--output <GLOB>", "workspace files to keep as artifacts (repeatable)", collect)
    .option("--diff", "keep the steps' changes to the repository, as a diff")
    .option("--upload", "let the steps send code indexes of the commit to the instance")
    .option("--service <NAME>", "docker: give the steps a Docker daemon of their own (repeatable)", collect)
    .option("--idempotency-key <KEY>", "submitting again with the same key returns the same job", parseIdempotencyKey)
    .option("--follow", "print the log until the job ends; the exit code is the job's")
    .option("--cancel-on-interrupt", "with --follow: Ctrl-C cancels the job")
    .option("--web", "open the job's page in the browser")
    .option("--json", "print JSON; with --follow: events, one per line")
    .addHelpText(
      "after",
      `
Examples:
  airlock job submit -f job.yaml --follow
  airlock job submit --repo . --rev HEAD --image host --follow -- sh -c 'ls; exit 3'
  airlock job submit -f job.yaml --web
  airlock job submit --repo . --dirty --image node:24 --follow -- npm test
  airlock job submit --repo https://git.example.com/team/app.git --image node:24 -- npm test
  generate-job | airlock job submit -f - --json | jq .id
${followExitCodesHelp}`,
    )
    .action((words: readonly string[], options: Options) => submit(context, words, options));
}

async function submit(context: CommandContext, words: readonly string[], options: Options): Promise<void> {
  const { follow, cancelOnInterrupt, json } = options;
  const draft = await draftJob(context, words, options);
  const client = await connect(context);
  const key = options.idempotencyKey ?? randomUUID();
  const warn = (text: string) => context.stderr.write(`warning: ${plainText(text)}\n`);
  const notes: string[] = [];
  let job: JobView;
  {
    using progress = new ProgressLine(context.stderr);
    job = await submitJob(client, draft, {
      idempotencyKey: key,
      progress: (text) => progress.show(text),
      env: context.env,
      dirty: options.dirty,
      note: ({ kind, text }) => notes.push(`${kind === "left-out" ? "warning: " : ""}${plainText(text)}\n`),
    });
  }
  for (const note of notes) context.stderr.write(note);
  // With `--follow`, the printer shows the warnings with the job.
  if (!follow || json) {
    for (const warning of job.warnings) warn(warning);
    // Otherwise the job would wait without an explanation.
    if (/^no-(?:matching-)?executor$/.test(job.explanation.code)) warn(job.explanation.message);
  }
  const page = jobPage(client.connection, job.id);
  if (options.web) await openInBrowser(context, page);
  if (follow) {
    if (!json) context.stderr.write(`job ${job.id} submitted: ${page}\n`);
    context.setExitCode(await followJob(context, client, job.id, { cancelOnInterrupt, json }));
  } else if (json) printJson(context, { ...job, webUrl: page });
  else context.stdout.write(`job ${job.id} submitted; see \`airlock job logs ${job.id} --follow\`\n  ${page}\n`);
}

async function draftJob(context: CommandContext, words: readonly string[], options: Options): Promise<JobDraft> {
  const repository = options.repo === undefined ? {} : { repository: options.repo };
  if (options.file === undefined) {
    if (words.length === 0)
      throw new UsageError("nothing to run: give -f FILE or a COMMAND", "See `airlock job submit --help`.");
    const spec = { ...specFromCommand(words, options, context.env), ...repository };
    return { spec, directory: context.cwd, report: refusedFlags };
  }
  if (words.length > 0) throw new UsageError("-f FILE and a COMMAND cannot be used together");
  const file = await readJobFile(options.file, context);
  const spec = { ...specWithFlags(file.spec, options, context.env), ...repository };
  return {
    spec,
    directory: options.repo === undefined ? file.directory : context.cwd,
    report: (problems) => file.report(problems),
  };
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
