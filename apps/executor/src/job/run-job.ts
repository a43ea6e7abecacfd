import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { errorMessage, formatDuration } from "@airlock/job";
import type { EgressDenial, Runtime, Sandbox } from "@airlock/runtime";
import type { Logger } from "pino";
import type { JobOptions } from "../config/options.ts";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";
import type { InstanceClient } from "../instance-client/instance-client.ts";
import { JobClient } from "../instance-client/job-client.ts";
import { EgressNotes } from "../logs/egress-notes.ts";
import { type JobLog, redactText } from "../logs/job-log.ts";
import type { SecretMatcher } from "../logs/secret-matcher.ts";
import { keepResults } from "../results/keep-results.ts";
import type { Git } from "../workspace/checkout/git.ts";
import { placeStepCertificates } from "../workspace/scripts/step-certificates.ts";
import { stepScript } from "../workspace/scripts/step-script.ts";
import type { JobDirectory, Workspace, WorkspaceFactory } from "../workspace/workspace.ts";
import { deliverLog, jobSecrets, openJobLog } from "./deliver-log.ts";
import type { EgressEnforcement } from "./egress-plan.ts";
import { startDeadline } from "./job-deadline.ts";
import { jobFiles } from "./job-files.ts";
import { type JobOutcome, outcomeOfError } from "./job-outcome.ts";
import { type JobPlan, planJob } from "./job-plan.ts";
import { type JobInput, readPayload } from "./read-payload.ts";
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
  /** Called for each job whose log did not arrive whole, apart from what the log's limit cut. */
  readonly countIncompleteLog: () => void;
  /** Directory for log data that overflows memory while the instance is unreachable. */
  readonly spoolDir: string;
  readonly options: JobOptions;
  /** Redacted in every log. */
  readonly sharedSecret: string;
  readonly logger: Logger;
}

/** An engine that does not answer must not hold the job's end forever. */
const sandboxTeardownMs = 60_000;
/** Collecting and uploading results has its own time limit: a job that reached its timeout has results, too. */
const resultsMs = 15 * 60_000;

/**
 * Runs one job, top to bottom: plan, workspace, sandbox, steps, teardown, log. Never throws; when it returns, nothing of
 * the job runs or is mounted any more, whatever ended it.
 */
export async function runJob(job: DequeuedJob, dependencies: JobDependencies, outer: AbortSignal): Promise<JobOutcome> {
  const { client, workspaces, options, logger } = dependencies;
  const input = readPayload(job.payload);
  const secrets = jobSecrets(input, dependencies.sharedSecret);
  const run = { ...dependencies, input, instance: new JobClient(client, job), secrets, outer };
  try {
    await using directory = await workspaces.createJobDirectory(input.name);
    const log = openJobLog(run);
    let outcome: JobOutcome;
    let signal = outer;
    try {
      const plan = planJob(input, options, dependencies.enforcement);
      using deadline = startDeadline(plan.timeoutMs, outer);
      signal = deadline.signal;
      const ledger = new StepLedger(plan.steps.map((step) => step.name));
      const context = { ...run, plan, directory, log, ledger, signal, sandboxIsGone: { yes: false } };
      outcome = { ...(await runWorkspace(context)), steps: ledger.results() };
    } catch (error) {
      outcome = outcomeOfError(error, signal);
    }
    await tearDown(directory, log, logger);
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
  readonly instance: JobClient;
  readonly directory: JobDirectory;
  readonly log: JobLog;
  readonly ledger: StepLedger;
  readonly signal: AbortSignal;
  /** The job's signal without its timeout. */
  readonly outer: AbortSignal;
  readonly sandboxIsGone: { yes: boolean };
}

/** Prepares the workspace, runs the steps in it, and keeps what the job is to leave behind. */
async function runWorkspace(context: RunContext): Promise<JobOutcome> {
  const { input, plan, instance, directory, log, signal } = context;
  const { checkout } = plan;
  const workspace = await directory.prepare(
    {
      checkout: checkout
        ? { request: checkout, source: instance.gitSource(checkout.repository), instanceUrl: instance.url }
        : undefined,
      files: await jobFiles(input.files, instance, signal),
      scripts: plan.steps.map((step) => stepScript(step.commands, plan.shell)),
      diskBytes: plan.limits.diskBytes,
    },
    log,
    signal,
  );
  let outcome: JobOutcome;
  try {
    outcome = await runInSandbox(workspace, context);
  } catch (error) {
    outcome = outcomeOfError(error, signal);
  }
  return await withResults(outcome, workspace, context);
}

/** Keeps the job's results once no process of the job can change the workspace any more. */
async function withResults(outcome: JobOutcome, workspace: Workspace, context: RunContext): Promise<JobOutcome> {
  const { input, instance, git, log, directory, options, outer, ledger, sandboxIsGone } = context;
  if (!input.results || !leavesResults(outcome) || !ledger.anyStarted || !sandboxIsGone.yes) return outcome;
  try {
    await keepResults({
      wanted: input.results,
      instance,
      git,
      log,
      workspace,
      jobDir: directory.dir,
      limits: options.outputs,
      signal: AbortSignal.any([outer, AbortSignal.timeout(resultsMs)]),
    });
  } catch (error) {
    context.logger.error({ error: errorMessage(error) }, "keeping the job's results failed");
    // A failed outcome stays. A success whose results could not be stored counts as errored, so that it is retried.
    if (outcome.kind === "completed" || outer.aborted) return outcomeOfError(error, outer);
  }
  return outcome;
}

/** Reports of a step that failed are wanted; those of a canceled job are not. */
function leavesResults(outcome: JobOutcome): boolean {
  return outcome.kind === "completed" || (outcome.kind === "failed" && outcome.reason !== null);
}

async function runInSandbox(workspace: Workspace, context: RunContext): Promise<JobOutcome> {
  const { input, plan, runtime, log, ledger, owner, activeSandboxes, options, signal } = context;
  if (plan.egress.note !== null) {
    const entry = log.open("setup.network");
    entry.note(plan.egress.note);
    entry.close(0);
  }
  const id = `${input.name}-${randomBytes(4).toString("hex")}`;
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
        registryAuth: { ...options.registryCredentials, ...input.registryAuth },
      },
      { signal },
    );
    try {
      const { scriptsDir } = workspace;
      const { stepCertificateFile } = options;
      return await runSteps({
        sandbox,
        log,
        ledger,
        steps: plan.steps,
        memoryBytes: plan.limits.memoryBytes,
        scriptsDir,
        certificates: stepCertificateFile === null ? {} : await placeStepCertificates(scriptsDir, stepCertificateFile),
        disk: workspace.disk,
        skipDirectory: input.stepsMaySkip ? workspace.dir : null,
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

/** A sandbox that can't be disposed of is left to the janitor; the result of its steps stands. */
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

function withoutSecrets(outcome: JobOutcome, secrets: SecretMatcher): JobOutcome {
  return outcome.kind === "completed" ? outcome : { ...outcome, message: redactText(secrets, outcome.message) };
}
