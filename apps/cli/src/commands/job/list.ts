import { JobList } from "@airlock/api";
import { formatDuration, jobStates } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { jobDurationMs } from "../../follow/describe-job.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobText, parseRepositoryName } from "../../options/name-arguments.ts";
import { parseJobId, parsePageSize } from "../../options/number-arguments.ts";
import { parseSince } from "../../options/since-argument.ts";
import { paintState } from "../../terminal/job-state-style.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";
import { addJobFilterFlags, type JobFilterFlags, jobFilterQuery } from "./choose-jobs.ts";

interface Options extends JobFilterFlags {
  /** In ISO form. */
  readonly since?: string;
  readonly repo?: string;
  readonly text?: string;
  readonly before?: number;
  readonly limit: number;
  readonly json?: boolean;
}

export function jobListCommand(context: CommandContext): Command {
  return addJobFilterFlags(new Command("list").alias("ls").description("List jobs, newest first"))
    .option("--since <TIME>", "only jobs queued since then: a duration such as 2h or 7d, or a time", parseSince)
    .option("--repo <NAME>", "only this repository, by its name in `airlock repo list`", parseRepositoryName)
    .option("--text <TEXT>", "only jobs with this text in repository, revision, commit or failure", parseJobText)
    .option("--before <ID>", "only jobs older than this one, for the next page", parseJobId)
    .option("--limit <N>", "at most this many, up to 200", parsePageSize, 20)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock job list
  airlock job list --state queued,processing --queue batches
  airlock job list --namespace team-a --since 2h
  airlock job list --text main --state failed
  airlock job list --label gpu=a100 --since 2026-08-01
  airlock job list --json | jq '.jobs[].id'

The states are ${jobStates.join(", ")}. A time without a zone is in this machine's zone.
${requestExitCodesHelp}`,
    )
    .action((options: Options) => listJobs(context, options));
}

async function listJobs(context: CommandContext, options: Options): Promise<void> {
  const client = await connect(context);
  const search = jobFilterQuery(options);
  search.set("limit", String(options.limit));
  if (options.since) search.set("since", options.since);
  if (options.repo) search.set("repository", options.repo);
  if (options.text) search.set("text", options.text);
  if (options.before) search.set("before", String(options.before));
  const list = await client.json(JobList, `jobs?${search}`);
  if (options.json) return printJson(context, list);
  if (list.jobs.length === 0) {
    context.stderr.write("no jobs; submit one with `airlock job submit`\n");
    return;
  }
  const paint = painter(context.stdout);
  const now = new Date();
  const rows = list.jobs.map((job) => {
    const took = jobDurationMs(job, now);
    return [
      String(job.id),
      paintState(paint, job),
      plainText(job.queue),
      plainText(job.repository ?? "-"),
      plainText(shortRevision(job.revision, job.commit)),
      relativeTime(job.queuedAt, now),
      took === undefined ? "-" : formatDuration(took),
      shorten(plainText(job.stepKeys.join(", ")), 40),
    ];
  });
  const header = ["ID", "STATE", "QUEUE", "REPOSITORY", "REVISION", "QUEUED", "TOOK", "STEPS"];
  context.stdout.write(formatTable(header, rows));
  if (list.next !== null) context.stderr.write(paint("dim", `more jobs: add --before ${list.next}\n`));
}

function shortRevision(revision: string, commit: string | null): string {
  const name = /^[0-9a-f]{40,64}$/.test(revision) ? "" : shorten(revision, 24);
  return [name, commit?.slice(0, 8)].filter(Boolean).join(" ") || "-";
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
