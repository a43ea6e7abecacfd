import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError, errorMessage, formatDuration } from "@airlock/job";
import type { EgressDenial, Runtime, Sandbox } from "@airlock/runtime";
import type { Logger } from "pino";
import type { JobOptions } from "../config/options.ts";
import { registryCredentials } from "../config/values/parse-registry-auth.ts";
import { type DequeuedJob, instanceKnows } from "../instance-client/dequeued-job.ts";
import type { InstanceClient } from "../instance-client/instance-client.ts";
import { ChunkSink } from "../logs/chunk-sink.ts";
import { EgressNotes } from "../logs/egress-notes.ts";
import { JobLog, redactText } from "../logs/job-log.ts";
import { forgedVoice } from "../logs/own-voice.ts";
import { SecretMatcher } from "../logs/secret-matcher.ts";
import { secretPatterns } from "../logs/secret-patterns.ts";
import { WholeEntrySink } from "../logs/whole-entry-sink.ts";
import { keepResults } from "../results/keep-results.ts";
import { checkoutRequest } from "../workspace/checkout/checkout-request.ts";
import type { Git } from "../workspace/checkout/git.ts";
import type { WorkspaceFile } from "../workspace/files/write-workspace-file.ts";
import { placeStepCertificates } from "../workspace/scripts/step-certificates.ts";
import { stepScript } from "../workspace/scripts/step-script.ts";
import type { JobDirectory, Workspace, WorkspaceFactory } from "../workspace/workspace.ts";
import type { EgressEnforcement } from "./egress-plan.ts";
import { inlineContent } from "./inline-content.ts";
import { type JobOutcome, outcomeOfError } from "./job-outcome.ts";
import { type JobPlan, planJob } from "./job-plan.ts";
import { runSteps } from "./run-steps.ts";
import { StepLedger } from "./step-ledger.ts";

export interface JobDependencies {
  readonly client: InstanceClient;
  readonly runtime: Runtime;
  /** What the runtime enforces on this machine. */
  readonly enforcement: EgressEnforcement;
  readonly workspaces: WorkspaceFactory;
  readonly git: Git;
  /** Names everything that the sandbox makes, over restarts. */
  readonly owner: string;
  /** Ids of sandboxes that a janitor must leave alone. */
  readonly activeSandboxes: Set<string>;
  /** Called for each destination that a job's egress policy denied. */
  readonly countDenial: (kind: EgressDenial["kind"]) => void;
  /** Called for each logged part of a job, at its end. */
  readonly countCommand: (key: string, exitCode: number, durationMs: number) => void;
  /** Called for each job whose log is not whole, apart from what the log's limit cut. */
  readonly countIncompleteLog: () => void;
  /** For what of logs does not fit into memory while the instance is away. */
  readonly spoolDir: string;
  readonly options: JobOptions;
  /** Never to appear in a log. */
  readonly sharedSecret: string;
  readonly logger: Logger;
}

/** How long the log's end of a job that is handed back may take to arrive: somebody waits for this process to end. */
const handBackLogMs = 10_000;
/** And that of a canceled one, which nobody waits for. */
const canceledLogMs = 30_000;
/** An engine that does not answer must not hold the job's end for ever. */
const sandboxTeardownMs = 60_000;
/** Collecting and uploading has a time of its own: a job that ran into its timeout has results, too. */
const resultsMs = 15 * 60_000;

/**
 * Runs one job, top to bottom: plan, workspace, sandbox, steps, teardown, log. Never throws; when it returns, nothing of
 * the job runs or is mounted any more, whatever ended it.
 */
export async function runJob(job: DequeuedJob, dependencies: JobDependencies, outer: AbortSignal): Promise<JobOutcome> {
  const { workspaces, options, logger } = dependencies;
  const secrets = secretsOf(job, dependencies.sharedSecret);
  try {
    await using directory = await workspaces.createJobDirectory(jobName(job));
    const log = new JobLog({
      sink: openSink(job, dependencies),
      secrets,
      maximumBytes: options.maximumLogBytes,
      maximumBytesPerSecond: options.maximumLogBytesPerSecond,
      onClosed: dependencies.countCommand,
    });
    let outcome: JobOutcome;
    let signal = outer;
    try {
      const plan = planJob(job, options, dependencies.enforcement);
      using deadline = startDeadline(plan.timeoutMs, outer);
      signal = deadline.signal;
      const ledger = new StepLedger(plan.steps.map((step) => step.name));
      const context = { ...dependencies, directory, log, ledger, signal, outer, sandboxIsGone: { yes: false } };
      outcome = { ...(await runWorkspace(job, plan, context)), steps: ledger.results() };
    } catch (error) {
      outcome = outcomeOfError(error, signal);
    }
    await tearDown(directory, log, logger);
    await deliver(log, outcome, outer, dependencies);
    return withoutSecrets(outcome, secrets);
  } catch (error) {
    logger.error({ error }, "running the job failed");
    return withoutSecrets(outcomeOfError(error, outer), secrets);
  }
}

interface RunContext extends JobDependencies {
  readonly directory: JobDirectory;
  readonly log: JobLog;
  readonly ledger: StepLedger;
  readonly signal: AbortSignal;
  /** The job's signal without its timeout. */
  readonly outer: AbortSignal;
  readonly sandboxIsGone: { yes: boolean };
}

/** Prepares the workspace, runs the steps in it, and keeps what the job is to leave behind. */
async function runWorkspace(job: DequeuedJob, plan: JobPlan, context: RunContext): Promise<JobOutcome> {
  const { client, directory, log, signal, outer } = context;
  const workspace = await directory.prepare(
    {
      checkout: checkoutOf(job, client),
      files: await filesOf(job, client, signal),
      scripts: plan.steps.map((step) => stepScript(step.commands, plan.shell)),
      diskBytes: plan.limits.diskBytes,
    },
    log,
    signal,
  );
  let outcome: JobOutcome;
  try {
    outcome = await runInSandbox(job, plan, workspace, context);
  } catch (error) {
    outcome = outcomeOfError(error, signal);
  }
  // Only of a workspace that no process of the job can change any more.
  if (!leavesResults(outcome) || !context.ledger.anyStarted || !context.sandboxIsGone.yes) return outcome;
  try {
    await keepResults({
      job,
      client,
      git: context.git,
      log,
      workspace,
      jobDir: directory.dir,
      limits: context.options.outputs,
      signal: AbortSignal.any([outer, AbortSignal.timeout(resultsMs)]),
    });
  } catch (error) {
    context.logger.error({ error: errorMessage(error) }, "keeping the job's results failed");
    // A failure stays what it is; a success without its results is none, and another attempt may have both.
    if (outcome.kind === "completed" || outer.aborted) return outcomeOfError(error, outer);
  }
  return outcome;
}

/** A step that fails leaves reports that people want; who cancels a job wants nothing of it. */
function leavesResults(outcome: JobOutcome): boolean {
  return outcome.kind === "completed" || (outcome.kind === "failed" && outcome.reason !== null);
}

async function runInSandbox(
  job: DequeuedJob,
  plan: JobPlan,
  workspace: Workspace,
  context: RunContext,
): Promise<JobOutcome> {
  const { runtime, log, ledger, owner, activeSandboxes, signal } = context;
  if (plan.egress.note !== null) {
    const entry = log.open("setup.network");
    entry.note(plan.egress.note);
    entry.close(0);
  }
  const id = `${jobName(job)}-${randomBytes(4).toString("hex")}`;
  activeSandboxes.add(id);
  const egressNotes = new EgressNotes(context.countDenial);
  try {
    const sandbox = await runtime.createSandbox(
      {
        id,
        owner,
        workspaceDir: workspace.dir,
        scriptsDir: workspace.scriptsDir,
        ...(workspace.layersDir === null ? {} : { layersDir: workspace.layersDir }),
        limits: plan.limits,
        egress: plan.egress.policy,
        onEgressDenied: egressNotes.tell,
        registryAuth: { ...context.options.registryCredentials, ...jobRegistryAuth(job) },
      },
      { signal },
    );
    try {
      const skipDirectory = job.payload.airlock ? null : workspace.dir;
      const { memoryBytes } = plan.limits;
      const { steps } = plan;
      const { scriptsDir } = workspace;
      const { disk } = workspace;
      const { stepCertificateFile } = context.options;
      const certificates =
        stepCertificateFile === null ? {} : await placeStepCertificates(scriptsDir, stepCertificateFile);
      return await runSteps({
        sandbox,
        log,
        ledger,
        steps,
        memoryBytes,
        scriptsDir,
        certificates,
        disk,
        skipDirectory,
        egressNotes,
        signal,
      });
    } finally {
      context.sandboxIsGone.yes = await giveBack(sandbox, context.logger);
    }
  } finally {
    activeSandboxes.delete(id);
  }
}

/** A sandbox that can't be given back is the janitor's; the result of its steps stands. */
async function giveBack(sandbox: Sandbox, logger: Logger): Promise<boolean> {
  const bound = new AbortController();
  try {
    const timeout = sleep(sandboxTeardownMs, undefined, { signal: bound.signal }).then(() => {
      throw new Error(`not done after ${formatDuration(sandboxTeardownMs)}`);
    });
    await Promise.race([sandbox[Symbol.asyncDispose](), timeout]);
    return true;
  } catch (error) {
    logger.error({ sandbox: sandbox.id, error: errorMessage(error) }, "giving back the sandbox failed");
    return false;
  } finally {
    bound.abort();
  }
}

/** `[a-z0-9-]`, unique per attempt of an instance. */
function jobName({ payload }: DequeuedJob): string {
  return `job-${payload.id}-${payload.airlock?.attempt ?? 1}`;
}

function startDeadline(timeoutMs: number, outer: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const overrun = new AbortController();
  const timer = setTimeout(
    () => {
      const text = `the job exceeded the maximum execution time of ${formatDuration(timeoutMs)}`;
      overrun.abort(new AirlockError(text, { code: "timeout", reason: "timeout" }));
    },
    Math.min(timeoutMs, 2 ** 31 - 1),
  );
  return { signal: AbortSignal.any([outer, overrun.signal]), [Symbol.dispose]: () => clearTimeout(timer) };
}

function secretsOf(job: DequeuedJob, sharedSecret: string): SecretMatcher {
  const { payload } = job;
  const passwords = Object.values(jobRegistryAuth(job)).flatMap(
    ({ password, identityToken = "", registryToken = "" }) => [password, identityToken, registryToken],
  );
  const removed = [sharedSecret, payload.token, ...passwords].filter((text) => text !== "");
  const values = { ...payload.redactedValues, ...Object.fromEntries(removed.map((text) => [text, "SECRET_REMOVED"])) };
  return new SecretMatcher([...secretPatterns(values), forgedVoice]);
}

function jobRegistryAuth({ payload }: DequeuedJob) {
  return registryCredentials(payload.dockerAuthConfig?.auths ?? {});
}

function openSink(job: DequeuedJob, { client, spoolDir }: JobDependencies) {
  if (instanceKnows(job, "log-batch")) {
    const file = join(spoolDir, `${jobName(job)}-${randomBytes(4).toString("hex")}`);
    return new ChunkSink((events, signal) => client.appendLogs(job, events, signal), file);
  }
  return new WholeEntrySink({
    add: (entry, signal) => client.addLogEntry(job, entry, signal),
    update: (entryId, entry, signal) => client.updateLogEntry(job, entryId, entry, signal),
  });
}

function checkoutOf(job: DequeuedJob, client: InstanceClient) {
  const request = checkoutRequest(job.payload);
  if (!request) return undefined;
  const source = { url: client.gitUrl(request.repository), headers: client.gitCredentials(job) };
  return { request, source, instanceUrl: client.url };
}

async function filesOf(job: DequeuedJob, client: InstanceClient, signal: AbortSignal): Promise<WorkspaceFile[]> {
  const { files, version } = job.payload;
  return await Promise.all(
    Object.entries(files).map(async ([path, file]) => {
      const { content = "", bucket, key, modifiedAt } = { bucket: undefined, key: undefined, ...file };
      if (!bucket || !key) return { path, content: inlineContent(content, version), modifiedAt };
      return { path, content: await client.readFile(job, bucket, key, signal), modifiedAt };
    }),
  );
}

async function tearDown(directory: JobDirectory, log: JobLog, logger: Logger): Promise<void> {
  const entry = log.open("teardown.fs");
  try {
    await directory[Symbol.asyncDispose]();
    entry.close(0);
  } catch (error) {
    // The janitor tries again; the job's result stands.
    logger.error({ error: errorMessage(error) }, "giving back the workspace failed");
    entry.note("the workspace could not be given back yet");
    entry.close(1);
  }
}

/**
 * The log arrives before the job's end is reported: with that the instance closes it. An instance that is away is waited
 * for as long as for the report itself.
 */
async function deliver(
  log: JobLog,
  outcome: JobOutcome,
  outer: AbortSignal,
  { options, logger, countIncompleteLog }: JobDependencies,
): Promise<void> {
  const over = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const endAfter = (ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => over.abort(new Error(`not done after ${formatDuration(ms)}`)), ms);
  };
  const onStop = () => {
    const { kind, reason } = { reason: null, ...outcomeOfError(undefined, outer) };
    if (kind === "abandoned") over.abort(outer.reason);
    else if (reason === "executor-shutdown") endAfter(handBackLogMs);
    // A canceled job has no second signal by which a stop would reach it here.
    else endAfter(canceledLogMs);
  };
  endAfter(Math.max(handBackLogMs, options.deliveryTimeoutMs));
  if (outcome.kind === "abandoned") over.abort(outer.reason);
  if (outer.aborted) onStop();
  outer.addEventListener("abort", onStop, { once: true });
  const delivery = await log.finish(over.signal);
  outer.removeEventListener("abort", onStop);
  clearTimeout(timer);
  if (delivery.kind === "delivered" || outcome.kind === "abandoned") return;
  countIncompleteLog();
  logger.warn({ problem: delivery.problem }, "a part of the job's log was not delivered; its result stands");
}

function withoutSecrets(outcome: JobOutcome, secrets: SecretMatcher): JobOutcome {
  return outcome.kind === "completed" ? outcome : { ...outcome, message: redactText(secrets, outcome.message) };
}
