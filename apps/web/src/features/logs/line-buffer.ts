import {
  plainStyle,
  plainText,
  sameStyle,
  TerminalParser,
  type TerminalSink,
  type TextStyle,
} from "@airlock/terminal-text";
import { countWhile } from "./count-while.ts";
import { commandMark, type GroupMark, LogGroups, sectionMark } from "./log-groups.ts";

export type LogStream = "stdout" | "stderr";
/** The source of a line: a stream of the command, or the executor itself. */
type LineSource = LogStream | "note";
const lineSources = ["stdout", "stderr", "note"] as const satisfies readonly LineSource[];

/** The text from `start` up to the next run has this style. */
interface StyleRun {
  readonly start: number;
  readonly style: TextStyle;
}

export interface LogLine {
  /** Without escape sequences and line end, at most `maxLineLength` UTF-16 code units. */
  readonly text: string;
  readonly source: LineSource;
  /** Empty if all text has the default style. */
  readonly runs: readonly StyleRun[];
  /** Number of code units of a longer line that were not kept. */
  readonly dropped: number;
  /** When the instance received the line's first bytes, in ms since 1970. `undefined`: unknown. */
  readonly timeMs: number | undefined;
}

/** Maximum length that is kept of a line. It bounds the cost of a line of 100 MB; the download has the rest. */
export const maxLineLength = 8192;

/** GitLab's runner prints an end and a start in one line. */
const maxMarksOfLine = 8;
const blockSize = 4096;
const noRuns: readonly StyleRun[] = [];

/** 4096 lines. Most lines have neither colours nor dropped text, so those maps are sparse. */
interface Block {
  readonly texts: string[];
  /** Indices into `lineSources`. */
  readonly sources: Uint8Array;
  /** NaN: unknown. */
  readonly times: Float64Array;
  readonly runs: Map<number, readonly StyleRun[]>;
  readonly dropped: Map<number, number>;
}

export type AppendResult =
  | { readonly kind: "appended" }
  /** All bytes of the chunk were received before. */
  | { readonly kind: "duplicate" }
  /** The chunk starts after `expectedOffset`, where the received bytes end. Nothing was appended. */
  | { readonly kind: "gap"; readonly expectedOffset: number };

/**
 * The output of one log entry as lines, built from chunks of bytes. Chunks may be repeated, overlap, end inside a
 * character or an escape sequence, and alternate between streams. Each stream continues its own last line. Lines never
 * move. Only the open lines, at most one per stream, still change.
 */
export class LineBuffer {
  private readonly blocks: Block[] = [];
  private count = 0;
  private bytes = 0;
  private lastNote = 0;
  /** Lines of the executor's messages, in ascending order. */
  private readonly noteLines: number[] = [];
  private timeMs = Number.NaN;
  private readonly writers: Readonly<Record<LogStream, StreamWriter>>;
  /** The groups that the output marks. They change in place. */
  readonly groups = new LogGroups();

  constructor() {
    const begin = (stream: LogStream) => this.addLine(stream);
    const update = (index: number, line: OpenLine) => this.store(index, line);
    this.writers = {
      stdout: new StreamWriter(() => begin("stdout"), update, this.groups),
      stderr: new StreamWriter(() => begin("stderr"), update, this.groups),
    };
  }

  get lineCount(): number {
    return this.count;
  }

  /** Number of bytes received so far, which is the offset of the next chunk. */
  get byteLength(): number {
    return this.bytes;
  }

  /** Indices of the incomplete lines, at most one per stream, in ascending order. */
  get openLines(): readonly number[] {
    const { stdout, stderr } = this.writers;
    return [stdout.openIndex, stderr.openIndex].filter((index) => index !== undefined).sort((a, b) => a - b);
  }

  /** @param receivedAtMs when the instance received the chunk, if it is known. */
  append(offset: number, stream: LogStream, chunk: Uint8Array, receivedAtMs?: number): AppendResult {
    if (offset > this.bytes) return { kind: "gap", expectedOffset: this.bytes };
    const fresh = chunk.subarray(this.bytes - offset);
    if (fresh.length === 0) return { kind: "duplicate" };
    this.bytes += fresh.length;
    this.timeMs = receivedAtMs ?? Number.NaN;
    this.writers[stream].write(fresh);
    return { kind: "appended" };
  }

  /** Adds a message of the executor after the output so far. Ignores repeated ones. */
  note(noteId: number, text: string): boolean {
    if (noteId <= this.lastNote) return false;
    this.lastNote = noteId;
    // Messages are stored without their time.
    this.timeMs = Number.NaN;
    for (const line of text.split("\n").map(plainText)) {
      const shown = line.slice(0, maxLineLength);
      const index = this.addLine("note");
      this.noteLines.push(index);
      this.store(index, { text: shown, runs: [], dropped: line.length - shown.length });
    }
    return true;
  }

  /** Whether the line and what is shown of it never change: it is complete, and is not the heading of a group without an end. */
  isSettled(index: number): boolean {
    const group = this.groups.startingAt(index);
    if (group !== undefined && group.end === undefined) return false;
    return !this.openLines.includes(index);
  }

  /** @throws {RangeError} if there is no such line. */
  line(index: number): LogLine {
    const block = this.blocks[Math.floor(index / blockSize)];
    const slot = index % blockSize;
    const text = block?.texts[slot];
    if (block === undefined || text === undefined) throw new RangeError(`no line ${index} of ${this.count}`);
    return {
      text,
      source: lineSources[block.sources[slot] ?? 0] ?? "stdout",
      runs: block.runs.get(slot) ?? noRuns,
      dropped: block.dropped.get(slot) ?? 0,
      timeMs: this.time(index),
    };
  }

  /** Only the text of a line; cheaper than `line`. */
  text(index: number): string {
    return this.blocks[Math.floor(index / blockSize)]?.texts[index % blockSize] ?? "";
  }

  /** When the instance received the line's first bytes, in ms since 1970. */
  time(index: number): number | undefined {
    const time = this.blocks[Math.floor(index / blockSize)]?.times[index % blockSize];
    return time === undefined || Number.isNaN(time) ? undefined : time;
  }

  isNote(index: number): boolean {
    const source = this.blocks[Math.floor(index / blockSize)]?.sources[index % blockSize];
    return source !== undefined && lineSources[source] === "note";
  }

  /** Number of lines with messages of the executor. */
  get noteCount(): number {
    return this.noteLines.length;
  }

  /** Whether the executor's messages are among these lines. */
  hasNoteIn(first: number, last: number): boolean {
    const before = countWhile(this.noteLines.length, (index) => (this.noteLines[index] ?? 0) < first);
    return (this.noteLines[before] ?? Number.POSITIVE_INFINITY) <= last;
  }

  private addLine(source: LineSource): number {
    const index = this.count;
    let block = this.blocks[Math.floor(index / blockSize)];
    if (block === undefined) {
      block = {
        texts: [],
        sources: new Uint8Array(blockSize),
        times: new Float64Array(blockSize),
        runs: new Map(),
        dropped: new Map(),
      };
      this.blocks.push(block);
    }
    block.texts.push("");
    block.sources[index % blockSize] = lineSources.indexOf(source);
    block.times[index % blockSize] = this.timeMs;
    this.count += 1;
    return index;
  }

  private store(index: number, line: OpenLine): void {
    const block = this.blocks[Math.floor(index / blockSize)];
    if (block === undefined) throw new RangeError(`no line ${index}`);
    const slot = index % blockSize;
    block.texts[slot] = line.text;
    setOrDelete(block.runs, slot, line.runs.length > 0 ? line.runs.slice() : undefined);
    setOrDelete(block.dropped, slot, line.dropped > 0 ? line.dropped : undefined);
  }
}

function setOrDelete<V>(map: Map<number, V>, key: number, value: V | undefined): void {
  if (value !== undefined) map.set(key, value);
  else if (map.size > 0) map.delete(key);
}

interface OpenLine {
  text: string;
  runs: StyleRun[];
  dropped: number;
}

/** Turns the bytes of one stream into lines. Stores a line when it ends, and at the end of each chunk. */
class StreamWriter implements TerminalSink {
  /** Index of the incomplete line. `undefined` between a newline and the next character. */
  openIndex: number | undefined;
  private readonly parser = new TerminalParser(this);
  private readonly begin: () => number;
  private readonly update: (index: number, line: OpenLine) => void;
  private readonly groups: LogGroups;
  private open: OpenLine = { text: "", runs: [], dropped: 0 };
  private returned = false;
  /** Marks of groups that the open line has erased. */
  private marks: GroupMark[] = [];

  constructor(begin: () => number, update: (index: number, line: OpenLine) => void, groups: LogGroups) {
    this.begin = begin;
    this.update = update;
    this.groups = groups;
  }

  write(bytes: Uint8Array): void {
    this.parser.write(bytes);
    if (this.openIndex !== undefined) this.update(this.openIndex, this.open);
  }

  print(text: string, style: TextStyle): void {
    this.openIndex ??= this.begin();
    if (this.returned) this.clear();
    const { open } = this;
    const room = maxLineLength - open.text.length;
    if (room > 0) this.addRun(open, style);
    if (text.length <= room) open.text += text;
    else {
      open.text += text.slice(0, room);
      open.dropped += text.length - room;
    }
  }

  newline(): void {
    const index = this.openIndex ?? this.begin();
    this.markGroups(index);
    this.update(index, this.open);
    this.openIndex = undefined;
    this.clear();
  }

  carriageReturn(): void {
    const mark = this.marks.length < maxMarksOfLine ? sectionMark(this.open.text) : undefined;
    if (mark) this.marks.push(mark);
    this.returned = true;
  }

  backspace(): void {
    const { open } = this;
    if (open.dropped > 0) open.dropped -= 1;
    else open.text = open.text.slice(0, -1);
    while ((open.runs.at(-1)?.start ?? -1) > open.text.length) open.runs.pop();
  }

  eraseLine(): void {
    this.clear();
  }

  private markGroups(index: number): void {
    const command = commandMark(this.open.text);
    // Nothing was printed over the last mark of the line.
    if (this.returned && this.marks.length > 0) this.clear();
    const starts = this.marks.some(({ kind }) => kind === "start");
    for (const mark of this.marks) this.groups.add(mark, index, this.open.text === "" && !starts);
    this.marks = [];
    if (command === undefined) return;
    this.groups.add(command.mark, index, true);
    // The heading shows its title only.
    this.open.text = this.open.text.slice(command.length);
    for (const [at, { start, style }] of this.open.runs.entries()) {
      this.open.runs[at] = { start: Math.max(0, start - command.length), style };
    }
  }

  private clear(): void {
    this.open = { text: "", runs: [], dropped: 0 };
    this.returned = false;
  }

  private addRun(open: OpenLine, style: TextStyle): void {
    const last = open.runs.at(-1);
    if (sameStyle(last?.style ?? plainStyle, style)) return;
    if (last?.start === open.text.length) open.runs.pop();
    open.runs.push({ start: open.text.length, style });
  }
}
