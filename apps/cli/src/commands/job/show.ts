import { JobView } from "@airlock/api";
import { formatBytes, formatDuration, isFinished } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { jobDurationMs } from "../../follow/describe-job.ts";
import { connect } from "../../instance/connect.ts";
import { jobPage } from "../../instance/web-link.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { paintState } from "../../terminal/job-state-style.ts";
import { openInBrowser } from "../../terminal/open-browser.ts";
import { type Paint, painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";

export function jobShowCommand(context: CommandContext): Command {
  return new Command("show")
    .description("Show a job: its state and the reason for it, its attempts and its log entries")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--web", "open the job's page in the browser")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock job show 7
  airlock job show 7 --web
  airlock job show 7 --json | jq .explanation
${requestExitCodesHelp}`,
    )
    .action(async (id: number, options: { readonly json?: boolean; readonly web?: boolean }) => {
      const client = await connect(context);
      const job = await client.json(JobView, `jobs/${id}`);
      const page = jobPage(client.connection, id);
      if (options.json) printJson(context, { ...job, webUrl: page });
      else context.stdout.write(describe(job, page, painter(context.stdout), new Date()));
      if (options.web) await openInBrowser(context, page);
    });
}

function describe(job: JobView, page: string, paint: Paint, now: Date): string {
  const took = jobDurationMs(job, now);
  const fields: [string, string][] = [
    ["state", paintState(paint, job)],
    ["why", plainText(job.explanation.message)],
    ["namespace", plainText(job.namespace)],
    ["queue", `${plainText(job.queue)}${job.priority === 0 ? "" : ` (priority ${job.priority})`}`],
    ["repository", plainText(job.repository ?? "none")],
    ["revision", plainText(job.commit ? `${job.revision} (${job.commit})` : job.revision)],
    ...checkoutWords(job).map((words): [string, string] => ["checkout", words]),
    ["queued", `${job.queuedAt} (${relativeTime(job.queuedAt, now)})`],
  ];
  if (job.maxWaitMs !== null) fields.push(["max wait", `fails after ${formatDuration(job.maxWaitMs)} in the queue`]);
  if (job.startedAt) fields.push(["started", `${job.startedAt} (${relativeTime(job.startedAt, now)})`]);
  if (took !== undefined) fields.push([isFinished(job.state) ? "took" : "running for", formatDuration(took)]);
  if (job.executor) fields.push(["executor", plainText(job.executor)]);
  if (job.exitCode !== null) fields.push(["exit code", String(job.exitCode)]);
  const failure = job.failureMessage ?? job.failureReason;
  if (failure) fields.push(["failure", paint("red", plainText(failure))]);
  fields.push(["egress", egressWords(job)]);
  fields.push(["web", page]);
  if (job.timeoutMs !== null) fields.push(["timeout", formatDuration(job.timeoutMs)]);
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}=${value}`);
  if (labels.length > 0) fields.push(["labels", plainText(labels.join(" "))]);
  const width = Math.max(...fields.map(([name]) => name.length));
  const blocks = [
    `${paint("bold", `job ${job.id}`)}\n${fields.map(([name, text]) => `  ${paint("dim", name.padEnd(width))}  ${text}\n`).join("")}`,
  ];
  if (job.warnings.length > 0) {
    blocks.push(job.warnings.map((warning) => `${paint("yellow", `warning: ${plainText(warning)}`)}\n`).join(""));
  }
  blocks.push(stepsTable(job));
  if (job.artifacts.length > 0) blocks.push(artifactsTable(job));
  if (job.attempts.length > 0) blocks.push(attemptsTable(job, now));
  if (job.entries.length > 0) blocks.push(entriesTable(job));
  return blocks.join("\n");
}

function stepsTable(job: JobView): string {
  const rows = job.steps.map((step) => [
    plainText(step.key),
    step.state,
    step.exitCode === null ? "-" : String(step.exitCode),
    step.durationMs === null ? "-" : formatDuration(step.durationMs),
  ]);
  return formatTable(["STEP", "STATE", "EXIT", "TOOK"], rows);
}

function artifactsTable(job: JobView): string {
  const rows = job.artifacts.map((artifact) => [
    plainText(artifact.name),
    String(artifact.attempt),
    formatBytes(artifact.bytes),
  ]);
  return formatTable(["ARTIFACT", "ATTEMPT", "SIZE"], rows);
}

function attemptsTable(job: JobView, now: Date): string {
  const rows = job.attempts.map((attempt) => {
    const end = attempt.finishedAt === null ? now.getTime() : Date.parse(attempt.finishedAt);
    return [
      String(attempt.attempt),
      attempt.state,
      plainText(attempt.executor),
      relativeTime(attempt.startedAt, now),
      formatDuration(Math.max(0, end - Date.parse(attempt.startedAt))),
      plainText(attempt.failureMessage ?? attempt.failureReason ?? ""),
    ];
  });
  return formatTable(["ATTEMPT", "STATE", "EXECUTOR", "STARTED", "TOOK", "WHY"], rows);
}

function entriesTable(job: JobView): string {
  const rows = job.entries.map((entry) => [
    `${entry.attempt}.${entry.entryId}`,
    plainText(entry.key),
    entry.exitCode === null ? "-" : String(entry.exitCode),
    entry.durationMs === null ? "-" : formatDuration(entry.durationMs),
    formatBytes(entry.length),
  ]);
  return formatTable(["ENTRY", "KEY", "EXIT", "TOOK", "OUTPUT"], rows);
}

/** Lists only what differs from a checkout of just the commit. */
function checkoutWords({ checkout: { depth, tags, paths } }: JobView): string[] {
  const words = [
    ...(depth === 1 ? [] : [depth === "full" ? "full history" : `${depth} commits`]),
    ...(tags ? ["tags"] : []),
    ...(paths.length > 0 ? [`only ${plainText(paths.join(" "))}`] : []),
  ];
  return words.length > 0 ? [words.join(", ")] : [];
}

function egressWords({ egress }: JobView): string {
  if (egress === null) return "the executor's default";
  return typeof egress === "string" ? egress : plainText(`allow ${egress.allow.join(", ")}`);
}
