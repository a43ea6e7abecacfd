import { between, pick } from "./random.ts";

const victims = ["executor", "instance", "database", "connections"] as const;
export type Victim = (typeof victims)[number];

/** A fault: `atMs` after the start the victim is killed (`connections`: cut), and it comes back after `downMs`. */
export interface Blow {
  readonly atMs: number;
  readonly victim: Victim;
  /** Index among the victims of its kind, from 0. Meaningless for the database and for connections. */
  readonly index: number;
  readonly downMs: number;
}

export interface JobPlan {
  /** Printed at the start of each line, so that a line shows to which job it belongs. */
  readonly name: string;
  readonly lines: number;
  readonly exitCode: number;
  /** Pause after every tenth line, in milliseconds. */
  readonly pauseMs: number;
}

const weights: readonly Victim[] = [
  "executor",
  "executor",
  "executor",
  "instance",
  "instance",
  "connections",
  "connections",
  "database",
];

/** Generates faults without end, one of each kind first. The caller stops when the jobs are done. */
export function* planBlows(
  random: () => number,
  counts: {
    readonly executors: number;
    readonly instances: number;
    /** Factor of the time between faults, so that slow jobs end between them. */
    readonly patience: number;
  },
): Generator<Blow> {
  const first: Victim[] = ["database", "connections", "instance", "executor"];
  let atMs = 700 * counts.patience;
  for (;;) {
    const victim = first.pop() ?? pick(random, weights);
    const count = victim === "executor" ? counts.executors : victim === "instance" ? counts.instances : 1;
    yield { atMs, victim, index: between(random, 0, count - 1), downMs: between(random, 0, 1500) };
    atMs += between(random, 300, 1800) * counts.patience;
  }
}

export function planJobs(random: () => number, count: number): JobPlan[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `job${index}`,
    lines: between(random, 1, 120),
    // Most jobs succeed. Some fail by themselves, which is a result and must not be retried.
    exitCode: random() < 0.15 ? between(random, 1, 99) : 0,
    pauseMs: between(random, 0, 80),
  }));
}

/** The script of a job: prints numbered lines to both streams, then exits with its code. */
export function jobScript(job: JobPlan): string {
  return [
    "i=0",
    `while [ $i -lt ${job.lines} ]; do`,
    `  if [ $((i % 7)) -eq 3 ]; then echo "${job.name} line $i" >&2; else echo "${job.name} line $i"; fi`,
    `  if [ $((i % 10)) -eq 9 ]; then sleep ${(job.pauseMs / 1000).toFixed(3)}; fi`,
    "  i=$((i + 1))",
    "done",
    `exit ${job.exitCode}`,
  ].join("\n");
}

/** The lines that the log of the job's step must contain, in any order: the two streams may interleave. */
export function expectedLines(job: JobPlan): string[] {
  return Array.from({ length: job.lines }, (_, line) => `${job.name} line ${line}`);
}
