import { countWhile } from "./count-while.ts";

/** Lines that a tool marked as belonging together. The first line is the group's heading. */
export interface LogGroup {
  readonly start: number;
  /** Index of the last line. `undefined`: no end was printed yet. */
  readonly end: number | undefined;
  /** Shown if the heading's line is empty. */
  readonly name: string;
  /** Whether the tool asked to show the group folded. */
  readonly collapsed: boolean;
  /** The group that contains this one. */
  readonly parent: LogGroup | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface OpenGroup {
  readonly group: Mutable<LogGroup>;
  readonly syntax: GroupSyntax;
}

/** `command`: `::group::` of GitHub and `##[group]` of Azure, which end without a name. `section`: GitLab's. */
type GroupSyntax = "command" | "section";

export type GroupMark =
  | { readonly kind: "start"; readonly syntax: GroupSyntax; readonly name: string; readonly collapsed: boolean }
  | { readonly kind: "end"; readonly syntax: GroupSyntax; readonly name: string };

/** Real tools nest a few levels. A bound keeps the search for the group that an end belongs to cheap. */
export const maxGroupDepth = 64;
/** Bounds memory and the time to find the visible lines. Further marks have no effect. */
export const maxGroups = 100_000;

/** `command` marks are whole lines. Anything that does not match exactly is ordinary output. */
export function commandMark(line: string): { readonly mark: GroupMark; readonly length: number } | undefined {
  // Nearly all lines stop here.
  if (!line.startsWith("::") && !line.startsWith("##[")) return undefined;
  const start = /^(?:::group::|##\[group\])/.exec(line)?.[0];
  if (start !== undefined) {
    return { mark: { kind: "start", syntax: "command", name: "", collapsed: false }, length: start.length };
  }
  if (!/^(?:::endgroup::|##\[endgroup\])\s*$/.test(line)) return undefined;
  return { mark: { kind: "end", syntax: "command", name: "" }, length: 0 };
}

/** GitLab prints the mark and returns to the start of the line, so that terminals don't show it. */
export function sectionMark(erased: string): GroupMark | undefined {
  if (!erased.startsWith("section_")) return undefined;
  const match = /^section_(start|end):\d{1,16}:([\w.-]{1,128})(\[[\w=,]{1,128}\])?$/.exec(erased);
  const name = match?.[2];
  if (name === undefined) return undefined;
  if (match?.[1] === "end") return { kind: "end", syntax: "section", name };
  return { kind: "start", syntax: "section", name, collapsed: match?.[3]?.includes("collapsed=true") ?? false };
}

/**
 * The groups of one log. Output decides what is marked, so marks may be missing, repeated, or nested without end. Groups
 * always contain each other or are apart.
 */
export class LogGroups {
  /** Changes whenever a group does. */
  version = 0;
  private readonly groups: LogGroup[] = [];
  private readonly open: OpenGroup[] = [];
  /** Starts beyond the maximum depth, whose ends must not end another group. */
  private tooDeep = 0;
  private lastLine = 0;

  /** In ascending order of `start`. */
  get all(): readonly LogGroup[] {
    return this.groups;
  }

  /** @param markIsWholeLine whether the line shows nothing else, so that an ended group contains it. */
  add(mark: GroupMark, line: number, markIsWholeLine: boolean): void {
    // Two streams that print at once may end their lines in another order. Groups can't be told from such marks.
    if (line < this.lastLine) return;
    this.lastLine = line;
    if (mark.kind === "end") this.end(mark, markIsWholeLine ? line : line - 1);
    else this.start(mark, line);
  }

  /** The group whose heading is this line. */
  startingAt(line: number): LogGroup | undefined {
    const group = this.lastUpTo(line);
    return group?.start === line ? group : undefined;
  }

  /** The groups that contain this line below their heading, from the inside. */
  around(line: number): LogGroup[] {
    const found: LogGroup[] = [];
    for (let group = this.lastUpTo(line - 1); group; group = group.parent) {
      if (group.end === undefined || group.end >= line) found.push(group);
    }
    return found;
  }

  private start({ syntax, name, collapsed }: GroupMark & { readonly kind: "start" }, line: number): void {
    if (this.groups.at(-1)?.start === line) return;
    if (this.open.length >= maxGroupDepth || this.groups.length >= maxGroups) {
      this.tooDeep += 1;
      return;
    }
    const group = { start: line, end: undefined, name, collapsed, parent: this.open.at(-1)?.group };
    this.groups.push(group);
    this.open.push({ group, syntax });
    this.version += 1;
  }

  private end({ syntax, name }: GroupMark, lastLine: number): void {
    if (this.tooDeep > 0) {
      this.tooDeep -= 1;
      return;
    }
    const index = this.open.findLastIndex(({ group, syntax: own }) => own === syntax && group.name === name);
    if (index === -1) return;
    // Groups inside that have no end of their own end with the outer one.
    for (const { group } of this.open.splice(index)) group.end = Math.max(group.start, lastLine);
    this.version += 1;
  }

  private lastUpTo(line: number): LogGroup | undefined {
    return this.groups[countWhile(this.groups.length, (index) => (this.groups[index]?.start ?? 0) <= line) - 1];
  }
}
