import type { JobLiveEvent, JobView, LogEntryView } from "@airlock/api";
import { formatDuration, isFinished } from "@airlock/job";
import { plainText } from "../terminal/plain-text.ts";
import { ChunkCursor } from "./chunk-cursor.ts";
import { describeEnd, stepKeyOf } from "./describe-job.ts";
import type { LogScreen } from "./log-screen.ts";

export interface AttemptSelection {
  /** Only this attempt's output. */
  readonly attempt?: number | undefined;
  /** Only output of this and later attempts. */
  readonly fromAttempt?: number | undefined;
}

/** Turns the events of one job into what a person reads. Events may repeat; each thing is said once. */
export class JobPrinter {
  readonly #screen: LogScreen;
  readonly #selection: AttemptSelection;
  readonly #cursor = new ChunkCursor();
  readonly #entries = new Map<string, LogEntryView>();
  readonly #announced = new Set<string>();
  readonly #closed = new Set<string>();
  readonly #said = new Set<string>();
  #open: string | undefined;
  #job: JobView | undefined;

  constructor(screen: LogScreen, selection: AttemptSelection = {}) {
    this.#screen = screen;
    this.#selection = selection;
  }

  get job(): JobView | undefined {
    return this.#job;
  }

  async print(event: JobLiveEvent): Promise<void> {
    switch (event.kind) {
      case "job":
        return this.#printJob(event.job);
      case "entry":
        return this.#printEntry(event.entry);
      case "chunk":
        return this.#printChunk(event);
      case "end":
        this.#screen.clearStatus();
        return;
    }
  }

  /** The closing line. */
  async printEnd(job: JobView): Promise<void> {
    await this.#closeOutput();
    this.#screen.clearStatus();
    const { good, text } = describeEnd(job);
    await this.#screen.line(this.#screen.paint(good ? "green" : "red", text));
  }

  async #printJob(job: JobView): Promise<void> {
    const { paint } = this.#screen;
    this.#job = job;
    for (const entry of job.entries) this.#entries.set(keyOf(entry), entry);
    for (const warning of job.warnings) {
      await this.#sayOnce(`warning ${warning}`, paint("yellow", `warning: ${plainText(warning)}`));
    }
    for (const attempt of job.attempts) {
      const why = attempt.failureMessage ?? attempt.failureReason;
      if (attempt.finishedAt !== null && attempt.attempt < job.attempt && this.#wants(attempt.attempt)) {
        await this.#sayOnce(
          `ended ${attempt.attempt}`,
          paint(
            "yellow",
            `attempt ${attempt.attempt} ${attempt.state}${why ? `: ${plainText(why)}` : ""}; tried again`,
          ),
        );
      }
    }
    if (isFinished(job.state)) return;
    const explanation = plainText(job.explanation.message);
    this.#screen.status(explanation);
    if (this.#screen.isLive) return;
    // Without a status line each new reason is a line; seconds that count up are none.
    await this.#sayOnce(
      `explanation ${job.attempt} ${job.state} ${job.explanation.code} ${explanation.replace(/\d+/g, "#")}`,
      `job ${job.id} ${job.state}: ${explanation}`,
    );
  }

  async #printEntry(entry: LogEntryView): Promise<void> {
    if (!this.#wants(entry.attempt)) return;
    const key = keyOf(entry);
    this.#entries.set(key, entry);
    if (stepKeyOf(entry) !== undefined) await this.#announce(key);
    else if (entry.exitCode === null) this.#screen.status(plainText(entry.key));
    if (entry.exitCode !== null) await this.#close(key, entry);
  }

  async #printChunk(chunk: Extract<JobLiveEvent, { kind: "chunk" }>): Promise<void> {
    if (!this.#wants(chunk.attempt)) return;
    const fresh = this.#cursor.take(chunk);
    if (!fresh) return;
    const key = keyOf(chunk);
    await this.#announce(key);
    if (fresh.missing > 0) {
      await this.#screen.line(this.#screen.paint("yellow", `${fresh.missing} bytes of this log are missing`));
    }
    // What the executor does is no output of the job: a program that reads ours gets the steps' alone.
    const entry = this.#entries.get(key);
    const stream = entry !== undefined && stepKeyOf(entry) === undefined ? "stderr" : chunk.stream;
    await this.#screen.output(stream, fresh.bytes);
  }

  /** The heading, before the first output and again after another entry's. */
  async #announce(key: string): Promise<void> {
    if (this.#open === key) return;
    const again = this.#announced.has(key);
    const entry = this.#entries.get(key);
    const step = entry ? stepKeyOf(entry) : undefined;
    // A step without output has its heading; one that was announced and stays silent needs none again.
    await this.#closeOutput();
    this.#open = key;
    this.#announced.add(key);
    const { paint } = this.#screen;
    if (step === undefined) await this.#screen.line(paint("dim", `· ${plainText(entry?.key ?? "output")}`));
    else {
      const image = this.#job?.steps.find((candidate) => candidate.key === step)?.image;
      const name = paint("bold", `▸ ${plainText(step)}`);
      await this.#screen.line(
        `${name}${image ? paint("dim", `  ${plainText(image)}`) : ""}${again ? " (continued)" : ""}`,
      );
      this.#screen.status(`step ${plainText(step)} runs`);
    }
  }

  async #close(key: string, entry: LogEntryView): Promise<void> {
    if (this.#closed.has(key)) return;
    this.#closed.add(key);
    const { paint } = this.#screen;
    const step = stepKeyOf(entry);
    const took = entry.durationMs === null ? "" : ` ${formatDuration(entry.durationMs)}`;
    if (this.#open === key) await this.#closeOutput();
    if (entry.exitCode !== 0) {
      await this.#screen.line(
        paint("red", `  ${plainText(step ?? entry.key)} exited with ${entry.exitCode}${took ? ` after${took}` : ""}`),
      );
    } else if (step === undefined) await this.#screen.line(paint("dim", `· ${plainText(entry.key)}${took}`));
  }

  async #closeOutput(): Promise<void> {
    if (this.#open !== undefined) await this.#screen.endEntry();
    this.#open = undefined;
  }

  async #sayOnce(key: string, line: string): Promise<void> {
    if (this.#said.has(key)) return;
    this.#said.add(key);
    await this.#screen.line(line);
  }

  #wants(attempt: number): boolean {
    const { attempt: only = attempt, fromAttempt = 1 } = this.#selection;
    return attempt === only && attempt >= fromAttempt;
  }
}

function keyOf(entry: { readonly attempt: number; readonly entryId: number }): string {
  return `${entry.attempt}.${entry.entryId}`;
}
