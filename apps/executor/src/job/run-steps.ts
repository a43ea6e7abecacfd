import { AirlockError, assertNever, errorMessage, formatBytes } from "@airlock/job";
import type { Sandbox, StepStatus } from "@airlock/runtime";
import type { EgressNotes } from "../logs/egress-notes.ts";
import type { JobLog, LogEntry } from "../logs/job-log.ts";
import type { UsageMonitor } from "../usage/usage-monitor.ts";
import { stepSecrets } from "../workspace/scripts/secret-files.ts";
import { stepScript } from "../workspace/scripts/step-script.ts";
import type { JobOutcome } from "./job-outcome.ts";
import type { JobPlan, PlannedStep } from "./job-plan.ts";
import { noteOnExitCode, signalExitCode } from "./signal-exit-codes.ts";
import { readSkip } from "./skip-steps.ts";
import type { StepLedger } from "./step-ledger.ts";

export interface StepsContext {
  readonly sandbox: Sandbox;
  readonly log: JobLog;
  readonly steps: readonly PlannedStep[];
  readonly ledger: StepLedger;
  readonly memoryBytes: number;
  readonly shell: JobPlan["shell"];
  /** Variables that name certificate authorities. A step's own variables take precedence. */
  readonly certificates: Readonly<Record<string, string>>;
  /** Whether a step may leave a request in the workspace to skip other steps. */
  readonly stepsMaySkip: boolean;
  readonly egressNotes: EgressNotes;
  /** `null`: the instance takes no reports. */
  readonly usage: UsageMonitor | null;
  readonly signal: AbortSignal;
}

/** Prepares all images, then runs the steps in order and stops at the first failure. */
export async function runSteps(context: StepsContext): Promise<JobOutcome> {
  for (const image of new Set(context.steps.map((step) => step.image))) await prepareImage(image, context);
  let skipUntil: string | undefined;
  for (const [index, step] of context.steps.entries()) {
    context.signal.throwIfAborted();
    if (skipUntil !== undefined && step.name !== skipUntil) continue;
    const { status, denied } = await runStep(index, step, context);
    const failure = failureOf(step, status, context.memoryBytes);
    if (failure) return explained(failure, ...(status.causes ?? []), denied);
    skipUntil = context.stepsMaySkip ? await readSkip(context.sandbox, step.name, context.signal) : undefined;
  }
  return { kind: "completed" };
}

/** Interval between messages about an image's progress in a job's log. */
const progressMs = 2_000;

async function prepareImage(image: string, { sandbox, log, signal }: StepsContext): Promise<void> {
  const entry = log.open("setup.image", [image]);
  let lastText = "";
  let lastAt = Number.NEGATIVE_INFINITY;
  try {
    const progress = (text: string) => {
      // Messages that differ only in their numbers are limited to one per interval.
      const isNews = withoutNumbers(text) !== withoutNumbers(lastText);
      if (text === lastText || (!isNews && performance.now() - lastAt < progressMs)) return;
      lastText = text;
      lastAt = performance.now();
      entry.note(text);
    };
    await sandbox.prepareImage(image, { signal, progress });
    entry.close(0);
  } catch (error) {
    noteError(entry, error);
    entry.close(1);
    throw error;
  }
}

function withoutNumbers(text: string): string {
  return text.replaceAll(/[\d.]+(?: [KMGT]?i?B)?/g, "");
}

async function runStep(
  index: number,
  step: PlannedStep,
  context: StepsContext,
): Promise<{ readonly status: StepStatus; readonly denied: string | null }> {
  const { sandbox, log, ledger, egressNotes, usage, signal } = context;
  const { files, start, command } = stepScript(String(index), step.commands, context.shell);
  const entry = log.open(`step.docker.${step.name}`, command);
  using denials = egressNotes.during(entry);
  ledger.start(index);
  await using _usage = usage?.during(index);
  try {
    const { key, image, workingDirectory } = step;
    const secrets = stepSecrets(step.secretFiles);
    const env = { ...context.certificates, ...step.env, ...secrets.variables };
    const nextImage = context.steps[index + 1]?.image;
    const status = await sandbox.runStep(
      { key, image, files: [...files, ...secrets.files], script: `/airlock/${start}`, workingDirectory, env },
      {
        signal,
        output: (stream, bytes) => entry.write(stream, bytes),
        ...(nextImage === undefined ? {} : { nextImage }),
      },
    );
    ledger.end(index, status);
    if (status.kind === "killed")
      entry.note(status.outOfMemory ? "killed: out of memory" : `killed by ${status.signal}`);
    const signalNote = status.kind === "exited" ? noteOnExitCode(status.exitCode) : undefined;
    if (signalNote) entry.note(signalNote);
    for (const note of status.notes ?? []) entry.note(note);
    entry.close(status.kind === "exited" ? status.exitCode : -1);
    return { status, denied: denials.summary() };
  } catch (error) {
    ledger.end(index, null);
    noteError(entry, error);
    entry.close(-1);
    throw error;
  }
}

/** Adds causes to a failure that does not explain itself, such as a full disk or a denied connection. */
function explained(failure: JobOutcome, ...causes: readonly (string | null | undefined)[]): JobOutcome {
  const known = causes.filter((cause) => cause !== null && cause !== undefined && cause !== "");
  if (failure.kind !== "failed" || known.length === 0) return failure;
  return { ...failure, message: `${failure.message}: ${known.join("; ")}` };
}

function noteError(entry: LogEntry, error: unknown): void {
  entry.note(errorMessage(error));
  if (error instanceof AirlockError && error.hint) entry.note(error.hint);
}

/** Maps the end of a step to the job's outcome; `undefined` when the job continues. */
export function failureOf(step: PlannedStep, status: StepStatus, memoryBytes: number): JobOutcome | undefined {
  switch (status.kind) {
    case "exited": {
      const { exitCode } = status;
      if (exitCode === 0) return undefined;
      return {
        kind: "failed",
        reason: "step-failed",
        message: `step "${step.name}" exited with ${exitCode}`,
        exitCode,
      };
    }
    case "killed": {
      if (status.outOfMemory) {
        const message = `step "${step.name}" was killed: the job used more memory than its ${formatBytes(memoryBytes)}`;
        return { kind: "failed", reason: "out-of-memory", message, exitCode: 137 };
      }
      const message = `step "${step.name}" was killed by ${status.signal}`;
      return { kind: "failed", reason: "step-failed", message, exitCode: signalExitCode(status.signal) };
    }
    default:
      return assertNever(status);
  }
}
