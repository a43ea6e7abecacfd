import type { JobView } from "@airlock/api";
import { expectedLines, type JobPlan } from "./plan.ts";

export interface FinishedJob {
  readonly plan: JobPlan;
  readonly view: JobView;
  /** Output of the step in the attempt that ended the job. */
  readonly log: string;
}

/**
 * Describes what is wrong with a finished job, a sentence each. Empty if it ended once, correctly, with its complete
 * log.
 */
export function findFaults({ plan, view, log }: FinishedJob): string[] {
  const faults: string[] = [];
  const wanted = plan.exitCode === 0 ? "completed" : "failed";
  if (view.state !== wanted)
    faults.push(`ended as ${view.state} instead of ${wanted} (${view.failureMessage ?? "no message"})`);
  if (view.exitCode !== plan.exitCode && view.state === wanted)
    faults.push(`exit code ${view.exitCode} instead of ${plan.exitCode}`);
  const ended = view.attempts.filter(({ state }) => state === "completed" || state === "failed");
  if (ended.length !== 1) faults.push(`${ended.length} attempts say that they ended the job`);
  if (view.attempts.some(({ state }) => state === "processing")) faults.push("an attempt is still processing");
  view.attempts.forEach(({ attempt }, index) => {
    if (attempt !== index + 1) faults.push(`attempt ${attempt} stands at place ${index + 1}`);
  });
  faults.push(...findLogFaults(expectedLines(plan), log));
  return faults;
}

function findLogFaults(expected: readonly string[], log: string): string[] {
  const counts = new Map<string, number>();
  for (const line of log.split("\n")) if (line !== "") counts.set(line, (counts.get(line) ?? 0) + 1);
  const missing = expected.filter((line) => !counts.has(line)).length;
  const duplicate = expected.filter((line) => (counts.get(line) ?? 0) > 1).length;
  const known = new Set(expected);
  const foreign = [...counts.keys()].filter((line) => !known.has(line));
  return [
    ...(missing > 0 ? [`${missing} of ${expected.length} lines are missing from the log`] : []),
    ...(duplicate > 0 ? [`${duplicate} lines stand twice in the log`] : []),
    ...(foreign.length > 0 ? [`foreign lines in the log: ${JSON.stringify(foreign[0])}`] : []),
  ];
}
