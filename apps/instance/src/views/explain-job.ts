import type { Explanation } from "@airlock/api";
import { assertNever, formatBytes, formatDuration, type JobState } from "@airlock/job";
import { type ExecutorSupport, listNeeds, supportedNeeds, waivableNeeds } from "../queues/job-needs.ts";

/** What a job demands, and the executors that could offer it. */
export interface JobDemands {
  readonly queue: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Resources that the job requires; `null`: any. */
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
  /** What the job asks for beyond the base protocol. */
  readonly needs: readonly string[];
  /** The queue's setting: executors get jobs although they ignore some of these needs. */
  readonly allowUnenforced: boolean;
  /** Executors of this queue that sent a heartbeat recently. */
  readonly executors: readonly ExecutorFacts[];
}

/** All facts that decide the state of a job, gathered at one moment. */
export interface JobFacts extends JobDemands {
  readonly now: Date;
  readonly state: JobState;
  readonly attempt: number;
  readonly errors: number;
  readonly maxAttempts: number;
  readonly cancelRequested: boolean;
  readonly visibleAt: Date;
  readonly startedAt: Date | null;
  readonly executor: string | null;
  readonly failureMessage: string | null;
  readonly exitCode: number | null;
  /** Jobs of the queue that are handed out before this one. */
  readonly ahead: number;
  /** Time since the last heartbeat of the job's executor; `null`: unknown. */
  readonly executorSilentMs: number | null;
}

export interface ExecutorFacts extends ExecutorSupport {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Resources for one job; `null`: unknown. */
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
  /** `null`: unknown. */
  readonly slots: number | null;
  readonly running: number;
  readonly draining: boolean;
  /** It is drained, and stays to be resumed. */
  readonly resumable: boolean;
}

/** An executor sends a heartbeat every 5 s. Mention its silence after two missed heartbeats. */
const silentAfterMs = 11_000;

/** Explains why a job is in its state. All answers to this question come from here. */
export function explainJob(facts: JobFacts): Explanation {
  switch (facts.state) {
    case "queued":
      return explainQueued(facts);
    case "processing":
      return explainProcessing(facts);
    case "completed":
      return { code: "finished", message: "Completed." };
    case "failed":
    case "errored":
    case "canceled":
      return explainEnd(facts, facts.state);
    default:
      return assertNever(facts.state);
  }
}

function explainQueued(facts: JobFacts): Explanation {
  const waitMs = facts.visibleAt.getTime() - facts.now.getTime();
  if (waitMs > 0) {
    const tries = `attempt ${facts.attempt} failed for a reason outside the job (${facts.errors} of ${facts.maxAttempts})`;
    return { code: "back-off", message: `Retrying in ${formatDuration(waitMs)}: ${tries}.` };
  }
  const obstacle = obstacleOf(facts);
  if (obstacle) return obstacle;
  const open = suitedTo(facts).filter((executor) => !executor.draining);
  const place = facts.ahead === 0 ? "first in line" : `${facts.ahead} ahead of it`;
  const free = open.some(({ slots, running }) => (slots === null ? running === 0 : running < slots));
  if (free) {
    const message = `Waiting to be taken, ${place}: ${plural(open.length)} connected.`;
    return { code: "waiting-for-executor", message };
  }
  const slots = open.reduce<number | null>(
    (sum, executor) => (sum === null || executor.slots === null ? null : sum + executor.slots),
    0,
  );
  const running = open.reduce((sum, executor) => sum + executor.running, 0);
  if (slots === null) {
    const busy = `${open.length === 1 ? "which runs" : "which run"} ${running === 1 ? "1 job" : `${running} jobs`}`;
    return {
      code: "waiting-for-executor",
      message: `Waiting, ${place}: ${plural(open.length)} connected, ${busy}.`,
    };
  }
  const busy = slots === 1 ? "the one slot" : `all ${slots} slots`;
  return { code: "waiting-for-executor", message: `Waiting, ${place}: ${busy} of ${plural(open.length)} busy.` };
}

/** The reason that no connected executor can ever take the job; `null` if one can. */
export function obstacleOf(facts: JobDemands): Explanation | null {
  if (facts.executors.length === 0) {
    return { code: "no-executor", message: `No executor is connected to queue "${facts.queue}".` };
  }
  // A draining executor may be gone for good while its successor is about to connect. Ignore what it offers.
  const staying = facts.executors.filter((executor) => !executor.draining);
  if (staying.length === 0) {
    const resumable = facts.executors.filter((executor) => executor.resumable);
    if (resumable.length > 0) {
      const which = resumable.length === 1 ? `executor "${resumable[0]?.name}" is` : `${plural(resumable.length)} are`;
      const message = `No executor is taking jobs from queue "${facts.queue}": ${which} drained and can be resumed.`;
      return { code: "no-executor", message };
    }
    const going = facts.executors.filter((executor) => executor.running > 0);
    const what =
      going.length > 0
        ? `${plural(going.length)} ${going.length === 1 ? "finishes its" : "finish their"} jobs and ${going.length === 1 ? "takes" : "take"} no more`
        : "the last one has exited or is draining";
    return { code: "no-executor", message: `No executor is taking jobs from queue "${facts.queue}": ${what}.` };
  }
  const suited = suitedTo(facts);
  if (suited.length === 0) {
    return { code: "no-matching-executor", message: missing(facts) };
  }
  if (suited.every((executor) => executor.draining)) {
    return {
      code: "no-executor",
      message: `Every executor of queue "${facts.queue}" that could run the job is draining.`,
    };
  }
  return null;
}

function suitedTo(facts: JobDemands): ExecutorFacts[] {
  const wanted = Object.entries(facts.labels);
  return facts.executors.filter(
    (executor) =>
      wanted.every(([name, value]) => executor.labels[name] === value) &&
      sizes(facts, executor).every(({ asked, offered }) => fits(asked, offered)) &&
      unmetNeeds(facts, executor).length === 0,
  );
}

/** Needs because of which the executor does not get the job. */
function unmetNeeds({ needs, allowUnenforced }: JobDemands, executor: ExecutorFacts): string[] {
  // An executor with the extensions reports its capabilities with its first dequeue.
  if (executor.extensions && executor.capabilities.length === 0) return [];
  const met = new Set<string>([...supportedNeeds(executor), ...(allowUnenforced ? waivableNeeds : [])]);
  return needs.filter((need) => !met.has(need));
}

/**
 * Names the demands that no single executor meets. If executors meet each demand separately but never together, names
 * all demands.
 */
function missing(facts: JobDemands): string {
  const all = Object.entries(facts.labels).map(([name, value]) => ({
    text: `${name}=${value}`,
    met: facts.executors.some((executor) => executor.labels[name] === value),
  }));
  const names = ["CPUs", "memory", "disk"];
  for (const [index, name] of names.entries()) {
    const offers = facts.executors.flatMap((executor) => sizes(facts, executor)[index] ?? []);
    const asked = offers[0]?.asked;
    if (asked === null || asked === undefined) continue;
    const text = index === 0 ? `${asked / 1000} CPUs` : `${formatBytes(asked)} of ${name}`;
    all.push({ text, met: offers.some(({ offered }) => fits(asked, offered)) });
  }
  const none = `No executor of queue "${facts.queue}"`;
  const unmet = all.filter((demand) => !demand.met).map(({ text }) => text);
  const unsupported = facts.needs.filter((need) =>
    facts.executors.every((executor) => unmetNeeds(facts, executor).includes(need)),
  );
  if (unsupported.length > 0) {
    const offers = unmet.length > 0 ? `offers ${unmet.join(" or ")}, and none ` : "";
    return `${none} ${offers}supports ${listNeeds(unsupported)}. ${remedy(unsupported)}`;
  }
  if (unmet.length > 0) return `${none} offers ${unmet.join(" or ")}.`;
  const supports = facts.executors.some((executor) => unmetNeeds(facts, executor).length > 0)
    ? [`support for ${listNeeds(facts.needs)}`]
    : [];
  return `${none} offers ${[...all.map(({ text }) => text), ...supports].join(" and ")} together.`;
}

/** What an administrator can do about needs that no executor supports. */
function remedy(needs: readonly string[]): string {
  const waivable: readonly string[] = waivableNeeds;
  if (needs.includes("services: docker")) {
    return "An Airlock executor with EXECUTOR_RUNTIME=microvm does, after `executor install microvm --docker` on its machine.";
  }
  if (needs.includes("image: host")) {
    return "An up-to-date Airlock executor with EXECUTOR_RUNTIME=docker or oci does; it also needs EXECUTOR_ALLOW_HOST_IMAGE=true.";
  }
  if (needs.includes("upload")) {
    return "An up-to-date Airlock executor does that runs as root; `executor validate` names what is missing on its machine.";
  }
  if (!needs.every((need) => waivable.includes(need))) return "An up-to-date Airlock executor does.";
  return "An up-to-date Airlock executor does, or the queue's setting allowUnenforced lets others ignore it.";
}

function sizes(facts: JobDemands, executor: ExecutorFacts) {
  return [
    { asked: facts.cpuMillis, offered: executor.cpuMillis },
    { asked: facts.memoryBytes, offered: executor.memoryBytes },
    { asked: facts.diskBytes, offered: executor.diskBytes },
  ];
}

function fits(asked: number | null, offered: number | null): boolean {
  return asked === null || offered === null || asked <= offered;
}

function plural(executors: number): string {
  return executors === 1 ? "1 executor" : `${executors} executors`;
}

function explainProcessing(facts: JobFacts): Explanation {
  const executor = facts.executor ?? "an executor";
  if (facts.executorSilentMs !== null && facts.executorSilentMs > silentAfterMs) {
    const silent = formatDuration(facts.executorSilentMs);
    return { code: "executor-silent", message: `Executor ${executor} has sent no heartbeat for ${silent}.` };
  }
  if (facts.cancelRequested) {
    return { code: "canceling", message: `Being canceled: executor ${executor} is told to stop it.` };
  }
  const forMs = facts.startedAt ? facts.now.getTime() - facts.startedAt.getTime() : 0;
  return { code: "running", message: `Running on executor ${executor} for ${formatDuration(forMs)}.` };
}

function explainEnd(facts: JobFacts, state: "failed" | "errored" | "canceled"): Explanation {
  const why = facts.failureMessage ? `: ${facts.failureMessage}` : "";
  switch (state) {
    case "failed":
      return { code: "finished", message: why ? `Failed${why}` : `Failed with exit code ${facts.exitCode ?? 1}.` };
    case "errored":
      return { code: "finished", message: `Given up after attempt ${facts.attempt}${why || "."}` };
    case "canceled":
      return { code: "finished", message: "Canceled." };
    default:
      return assertNever(state);
  }
}
