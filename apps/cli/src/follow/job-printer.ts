import type { JobLiveEvent, JobView, LogEntryView } from "@airlock/api";
import { formatBytes, formatDuration, isFinished } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { ChunkCursor } from "./chunk-cursor.ts";
import { describeEnd, stepKeyOf } from "./describe-job.ts";
import type { LogScreen } from "./log-screen.ts";
import { SetupOutput } from "./setup-output.ts";

export interface AttemptSelection {
  /** Print only the output of this attempt. */
  readonly attempt?: number | undefined;
  /** Print only the output of this attempt and later ones. */
  readonly fromAttempt?: number | undefined;
}

/** Prints the events of one job as text. Events may be repeated; each is printed once. */
export class JobPrinter {
  readonly #screen: LogScreen;
  readonly #selection: AttemptSelection;
  readonly #cursor = new ChunkCursor();
  readonly #entries = new Map<string, LogEntryView>();
  /** Entries whose closing line was printed. */
  readonly #closed = new Set<string>();
  readonly #said = new Set<string>();
  /** Id of the last printed note by entry. */
  readonly #notes = new Map<string, number>();
  /** Key of the entry whose output is being printed. */
  #current: string | undefined;
  /** Collects the output of the current entry if it is the executor's own. */
  #setup: SetupOutput | undefined;
  #job: JobView | undefined;

  constructor(screen: LogScreen, selection: AttemptSelection = {}) {
    this.#screen = screen;
    this.#selection = selection;
  }

  async print(event: JobLiveEvent): Promise<void> {
    await this.#screen.expectOutput();
    switch (event.kind) {
      case "job":
        return this.#printJob(event.job);
      case "entry":
        return this.#printEntry(event.entry);
      case "chunk":
        return this.#printChunk(event);
      case "note":
        return this.#printNote(event);
      case "end":
        this.#screen.clearStatus();
        return;
    }
  }

  /** Prints the closing line, and how to download the artifacts. */
  async printEnd(job: JobView): Promise<void> {
    await this.#close();
    this.#screen.clearStatus();
    const { good, text } = describeEnd(job);
    await this.#screen.line(this.#screen.paint(good ? "green" : "red", text));
    const kept = job.artifacts.filter(({ attempt }) => attempt === job.attempt);
    for (const { name, bytes } of kept) {
      await this.#screen.line(
        `  kept ${plainText(name)}, ${formatBytes(bytes)}: airlock job download ${job.id} ${plainText(name)}`,
      );
    }
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
      // The last attempt's end is the job's end, which `printEnd` prints, unless the job is queued again.
      const isOver = attempt.finishedAt !== null && (attempt.attempt < job.attempt || job.state === "queued");
      if (isOver && this.#wants(attempt.attempt)) {
        await this.#sayOnce(
          `ended ${attempt.attempt}`,
          paint("yellow", `attempt ${attempt.attempt} ${attempt.state}${why ? `: ${plainText(why)}` : ""}`),
        );
      }
    }
    if (isFinished(job.state)) return;
    const explanation = describeProgress(job);
    this.#screen.status(explanation);
    if (this.#screen.isLive) return;
    // Without a status line, print a line per new reason. Numbers that count up don't make it new.
    await this.#sayOnce(
      `explanation ${job.attempt} ${job.state} ${job.explanation.code} ${explanation.replace(/\d+/g, "#")}`,
      `job ${job.id}: ${explanation}`,
    );
  }

  async #printEntry(entry: LogEntryView): Promise<void> {
    if (!this.#wants(entry.attempt)) return;
    const key = keyOf(entry);
    this.#entries.set(key, entry);
    await this.#open(key);
    // The entry's exit code may arrive before the rest of its output.
    if (this.#isComplete(entry)) await this.#close();
  }

  async #printChunk(chunk: Extract<JobLiveEvent, { kind: "chunk" }>): Promise<void> {
    if (!this.#wants(chunk.attempt)) return;
    const fresh = this.#cursor.take(chunk);
    if (!fresh) return;
    const key = keyOf(chunk);
    await this.#open(key);
    const entry = this.#entries.get(key);
    if (this.#setup !== undefined && entry !== undefined) {
      this.#setup.push(fresh.bytes);
      this.#screen.status([plainText(entry.key), this.#setup.lines.at(-1)].filter(Boolean).join(": "));
    } else {
      if (fresh.missing > 0) {
        await this.#screen.line(this.#screen.paint("yellow", `${fresh.missing} bytes of this log are missing`));
      }
      await this.#screen.output(chunk.stream, fresh.bytes);
    }
    if (entry && this.#isComplete(entry)) await this.#close();
  }

  async #printNote(note: Extract<JobLiveEvent, { kind: "note" }>): Promise<void> {
    const key = keyOf(note);
    if (!this.#wants(note.attempt) || note.noteId <= (this.#notes.get(key) ?? 0)) return;
    this.#notes.set(key, note.noteId);
    await this.#open(key);
    const lines = note.text.split("\n").map(plainText);
    if (this.#setup !== undefined) this.#setup.note(lines);
    else for (const line of lines) await this.#screen.line(this.#screen.paint("yellow", `  executor: ${line}`));
    const entry = this.#entries.get(key);
    if (entry && this.#isComplete(entry)) await this.#close();
  }

  /** Whether the entry has ended and all its output and notes were printed. */
  #isComplete(entry: LogEntryView): boolean {
    const isSaid = this.#cursor.seen(entry) >= entry.length && (this.#notes.get(keyOf(entry)) ?? 0) >= entry.notes;
    return entry.exitCode !== null && isSaid;
  }

  #stepOf(entry: LogEntryView): string | undefined {
    const attempt = [...this.#entries.values()]
      .filter((other) => other.attempt === entry.attempt)
      .sort((a, b) => a.entryId - b.entryId);
    return stepKeyOf(entry, this.#job?.stepKeys ?? [], attempt);
  }

  /** Makes an entry the current one: prints the closing line of the previous entry, then the heading of this one. */
  async #open(key: string): Promise<void> {
    if (this.#current === key) return;
    const entry = this.#entries.get(key);
    // Already printed; a resumed stream repeats it.
    if (entry !== undefined && this.#closed.has(key) && this.#isComplete(entry)) return;
    await this.#close();
    this.#current = key;
    const step = entry ? this.#stepOf(entry) : undefined;
    if (entry !== undefined && step === undefined) {
      this.#setup = new SetupOutput();
      if (entry.exitCode === null) this.#screen.status(plainText(entry.key));
      return;
    }
    const { paint } = this.#screen;
    const image = this.#job?.steps.find((candidate) => candidate.key === step)?.image;
    await this.#screen.line(
      `${paint("bold", `▸ ${plainText(step ?? "output")}`)}${image ? paint("dim", `  ${plainText(image)}`) : ""}`,
    );
    this.#screen.status(`running step ${plainText(step ?? "")}`);
  }

  /** Finishes the current entry. */
  async #close(): Promise<void> {
    const key = this.#current;
    if (key === undefined) return;
    const entry = this.#entries.get(key);
    const setup = this.#setup;
    this.#current = undefined;
    this.#setup = undefined;
    await this.#screen.endEntry();
    // An entry without an exit code may continue. An entry in `#closed` already has its closing line.
    if (entry === undefined || entry.exitCode === null || this.#closed.has(key)) return;
    this.#closed.add(key);
    const { paint } = this.#screen;
    const name = plainText(this.#stepOf(entry) ?? entry.key);
    const took = entry.durationMs === null ? "" : formatDuration(entry.durationMs);
    if (entry.exitCode !== 0) {
      for (const line of setup?.lines ?? []) await this.#screen.line(paint("dim", `  ${line}`));
      await this.#screen.line(
        paint(
          "red",
          `  ${name} ${entry.exitCode < 0 ? "was stopped" : `exited with ${entry.exitCode}`}${took && ` after ${took}`}`,
        ),
      );
    } else if (setup) {
      await this.#screen.line(paint("dim", `· ${name} ${took}`));
      // The result of a job includes which files of the workspace were kept, and why others were not.
      const lines = /^teardown\.(?:outputs|diff)$/.test(entry.key) ? setup.lines : [];
      for (const line of lines) await this.#screen.line(paint("dim", `  ${line}`));
    }
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

/** Why the job waits, or where it runs. */
function describeProgress(job: JobView): string {
  // The instance's message includes the run time, which would be out of date at once.
  if (job.explanation.code === "running" && job.executor !== null) return `running on ${plainText(job.executor)}`;
  return plainText(job.explanation.message);
}

function keyOf(entry: { readonly attempt: number; readonly entryId: number }): string {
  return `${entry.attempt}.${entry.entryId}`;
}
