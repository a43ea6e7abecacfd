import { randomBytes } from "node:crypto";
import type { StepUsage } from "@airlock/api";
import { pause } from "@airlock/async";
import { errorMessage, formatDuration } from "@airlock/job";
import type { EgressDenial, Runtime, Sandbox } from "@airlock/runtime";
import type { Logger } from "pino";
import type { JobOptions } from "../config/options.ts";
import type { JobConnection } from "../instance-client/job-connection.ts";
import { EgressNotes } from "../logs/egress-notes.ts";
import { type JobLog, redactText } from "../logs/job-log.ts";
import type { SecretMatcher } from "../logs/secret-matcher.ts";
import { keepResults } from "../results/keep-results.ts";
import { UploadProxy, uploadPort } from "../uploads/upload-proxy.ts";
import { UsageMonitor } from "../usage/usage-monitor.ts";
import type { Git } from "../workspace/checkout/git.ts";
import type { Checkout, JobDirectories, JobDirectory } from "../workspace/job-directory.ts";
import { noCertificates, stepCertificates } from "../workspace/scripts/step-certificates.ts";
import { deliverLog, jobSecrets, openJobLog } from "./deliver-log.ts";
import { withCertificates } from "./docker-daemon-settings.ts";
import type { EgressEnforcement } from "./egress-plan.ts";
import { startJobDeadline } from "./job-deadline.ts";
import { jobFiles } from "./job-files.ts";
import { type JobOutcome, outcomeOfError } from "./job-outcome.ts";
import { type JobPlan, planJob } from "./job-plan.ts";
import type { JobInput } from "./read-payload.ts";
import { runStartup } from "./run-startup.ts";
import { runSteps } from "./run-steps.ts";
import { StepLedger } from "./step-ledger.ts";

export interface RunnableJob {
  readonly input: JobInput;
  readonly instance: JobConnection;
}

export interface JobDependencies {
  readonly runtime: Runtime;
  /** What the runtime enforces on this machine. */
  readonly enforcement: EgressEnforcement;
  readonly jobDirectories: JobDirectories;
  readonly git: Git;
  /** Owner name for everything that the runtime creates. Stable over restarts. */
  readonly owner: string;
  /** Ids of sandboxes that a janitor must leave alone. */
  readonly activeSandboxes: Set<string>;
  /** Called for each destination that a job's egress policy denied. */
  readonly countDenial: (kind: EgressDenial["kind"]) => void;
  /** Called for each logged part of a job, at its end. */
  readonly countCommand: (key: string, exitCode: number, durationMs: number) => void;
  /** Called for each job whose log was not delivered completely. The log's own size limit does not count. */
  readonly countIncompleteLog: () => void;
  /** Directory for log data that overflows memory while the instance is unreachable. */
  readonly spoolDir: string;
  readonly options: JobOptions;
  /** Redacted in every log. */
  readonly sharedSecret: string;
  readonly logger: Logger;
}

/** Time limit for each part of a teardown, because an engine may never answer. */
const teardownMs = 60_000;
/** Collecting and uploading results has its own time limit, because a job that reached its timeout has results, too. */
const resultsMs = 15 * 60_000;

/**
 * Runs one job: plan, checkout, sandbox, steps, results, teardown, log. Never throws. When it resolves, nothing of the
 * job is running or mounted any more, unless the teardown failed.
 */
export async function runJob(job: RunnableJob, dependencies: JobDependencies, outer: AbortSignal): Promise<JobOutcome> {
  const { jobDirectories, options, logger } = dependencies;
  const { input, instance } = job;
  const secrets = jobSecrets(input, dependencies.sharedSecret);
  const run = { ...dependencies, input, instance, secrets, outer };
  try {
    const directory = jobDirectories.open(input.name);
    const sandboxes: Sandbox[] = [];
    using uploads = new UploadProxy({ port: uploadPort, send: instance.sendUpload });
    const log = openJobLog(run);
    let outcome: JobOutcome;
    let signal = outer;
    try {
      const plan = planJob(input, options, dependencies.enforcement);
      using deadline = startJobDeadline(plan.timeout, outer);
      signal = deadline.signal;
      const ledger = new StepLedger(plan.steps.map((step) => step.name));
      const context = { ...run, plan, directory, log, ledger, signal, sandboxes, uploads };
      outcome = { ...(await runInSandbox(context)), steps: ledger.results() };
    } catch (error) {
      outcome = outcomeOfError(error, signal);
    }
    await tearDown([...sandboxes, directory], log, logger);
    for (const { id } of sandboxes) dependencies.activeSandboxes.delete(id);
    await deliverLog(log, outcome, { ...run, deliveryTimeoutMs: options.deliveryTimeoutMs });
    return withoutSecrets(outcome, secrets);
  } catch (error) {
    logger.error({ error }, "running the job failed");
    return withoutSecrets(outcomeOfError(error, outer), secrets);
  }
}

interface RunContext extends JobDependencies {
  readonly input: JobInput;
  readonly plan: JobPlan;
  readonly instance: JobConnection;
  readonly directory: JobDirectory;
  readonly log: JobLog;
  readonly ledger: StepLedger;
  readonly signal: AbortSignal;
  /** The job's signal without its timeout. */
  readonly outer: AbortSignal;
  /** Sandboxes that were created: at most one. */
  readonly sandboxes: Sandbox[];
  /** Answers the steps of a job with `upload`. */
  readonly uploads: UploadProxy;
}

/** Creates the sandbox with the job's workspace, runs the steps in it, and keeps the job's results. */
async function runInSandbox(context: RunContext): Promise<JobOutcome> {
  const { plan, instance, directory, log, ledger, sandboxes, signal } = context;
  sayPlan("setup.timeout", plan.timeout.note, log);
  const { checkout: request } = plan;
  const checkout = request
    ? await directory.checkOut(
        { request, source: instance.gitSource(request.repository), instanceUrl: instance.url },
        log,
        signal,
      )
    : null;
  const egressNotes = new EgressNotes(context.countDenial);
  const { sandbox, certificates } = await openSandbox(checkout, egressNotes, context);
  sandboxes.push(sandbox);
  let outcome: JobOutcome;
  try {
    await using usage = context.input.reportsUsage ? usageMonitor(sandbox, context) : null;
    await runStartup(sandbox, log, signal);
    outcome = await runSteps({
      sandbox,
      log,
      ledger,
      steps: plan.steps,
      shell: plan.shell,
      memoryBytes: plan.limits.memoryBytes,
      certificates,
      stepsMaySkip: context.input.stepsMaySkip,
      egressNotes,
      usage,
      signal,
    });
  } catch (error) {
    outcome = outcomeOfError(error, signal);
  }
  // Stop everything before reading the workspace, so that a leftover process can't change the results.
  return (await hasStopped(sandbox, context.logger)) ? await withResults(outcome, sandbox, checkout, context) : outcome;
}

function usageMonitor(sandbox: Sandbox, { plan, instance, logger }: RunContext): UsageMonitor {
  const send = (usage: StepUsage, signal: AbortSignal) => instance.reportUsage(usage, signal);
  return new UsageMonitor({ sandbox, limits: plan.limits, send, logger });
}

/** Logs where a job gets less than it asks for. */
function sayPlan(key: string, note: string | null, log: JobLog): void {
  if (note === null) return;
  const entry = log.open(key);
  entry.note(note);
  entry.close(0);
}

async function openSandbox(checkout: Checkout | null, egressNotes: EgressNotes, context: RunContext) {
  const { input, plan, instance, runtime, log, owner, activeSandboxes, options, uploads, signal } = context;
  sayPlan("setup.network", plan.egress.note, log);
  const id = `${input.name}-${randomBytes(4).toString("hex")}`;
  const entry = log.open("setup.fs.extras");
  activeSandboxes.add(id);
  try {
    const files = await jobFiles(input.files, instance, signal);
    const { stepCertificateFile: file } = options;
    const certificates = file === null ? noCertificates : await stepCertificates(file);
    const sandbox = await runtime.createSandbox(
      {
        id,
        owner,
        workspace: {
          checkout: checkout?.tree ?? null,
          checkoutLayers: checkout?.layers,
          files,
          readOnlyFiles: certificates.files,
        },
        limits: plan.limits,
        egress: plan.egress.policy,
        ...(plan.upload ? { services: [uploads] } : {}),
        ...(plan.docker ? { docker: true, dockerDaemon: withCertificates(plan.docker, certificates.variables) } : {}),
        onEgressDenied: egressNotes.tell,
        onWait: (reason) => entry.note(reason),
        registryAuth: { ...options.registryCredentials, ...input.registryAuth },
      },
      { signal },
    );
    for (const note of sandbox.notes) entry.note(note);
    if (files.length > 0) entry.note(`${files.length} ${files.length === 1 ? "file" : "files"} written`);
    entry.close(0);
    return { sandbox, certificates: certificates.variables };
  } catch (error) {
    activeSandboxes.delete(id);
    entry.note(errorMessage(error));
    entry.close(1);
    throw error;
  }
}

/** Stops the sandbox. If that fails, the janitor retries it later, and the result of the steps stands. */
async function hasStopped(sandbox: Sandbox, logger: Logger): Promise<boolean> {
  try {
    await sandbox.stop({ signal: AbortSignal.timeout(teardownMs) });
    return true;
  } catch (error) {
    logger.error({ sandbox: sandbox.id, error: errorMessage(error) }, "stopping the sandbox failed");
    return false;
  }
}

/** Keeps the results of a job whose sandbox has stopped. */
async function withResults(
  outcome: JobOutcome,
  sandbox: Sandbox,
  checkout: Checkout | null,
  context: RunContext,
): Promise<JobOutcome> {
  const { input, instance, git, log, directory, options, outer, ledger } = context;
  if (!input.results || !leavesResults(outcome) || !ledger.anyStarted) return outcome;
  try {
    await keepResults({
      wanted: input.results,
      instance,
      git,
      log,
      sandbox,
      commit: checkout?.commit ?? null,
      directory,
      limits: options.outputs,
      signal: AbortSignal.any([outer, AbortSignal.timeout(resultsMs)]),
    });
  } catch (error) {
    context.logger.error({ error: errorMessage(error) }, "storing the job's results failed");
    // Keep a failed outcome. A success whose results could not be stored counts as errored, so that it is retried.
    if (outcome.kind === "completed" || outer.aborted) return outcomeOfError(error, outer);
  }
  return outcome;
}

/** A failed step may leave reports that its submitter wants. A canceled job leaves no results. */
function leavesResults(outcome: JobOutcome): boolean {
  return outcome.kind === "completed" || (outcome.kind === "failed" && outcome.reason !== null);
}

/** Releases everything in the given order. A failure does not change the job's result: the janitor tries again. */
async function tearDown(held: readonly AsyncDisposable[], log: JobLog, logger: Logger): Promise<void> {
  const entry = log.open("teardown.fs");
  let exitCode = 0;
  for (const each of held) {
    try {
      await within(teardownMs, each[Symbol.asyncDispose]());
    } catch (error) {
      logger.error({ error: errorMessage(error) }, "releasing a job's sandbox or files failed");
      exitCode = 1;
    }
  }
  if (exitCode !== 0) entry.note("the workspace could not be released yet");
  entry.close(exitCode);
}

/** Stops waiting for work that does not end in time. The work itself continues. */
async function within(ms: number, work: PromiseLike<void>): Promise<void> {
  const over = new AbortController();
  try {
    const timeout = pause(ms, over.signal).then(() => {
      throw new Error(`not finished after ${formatDuration(ms)}`);
    });
    await Promise.race([work, timeout]);
  } finally {
    over.abort();
  }
}

function withoutSecrets(outcome: JobOutcome, secrets: SecretMatcher): JobOutcome {
  return outcome.kind === "completed" ? outcome : { ...outcome, message: redactText(secrets, outcome.message) };
}
