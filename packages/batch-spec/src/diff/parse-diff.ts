import { fromByteText, toByteText } from "../template/byte-text.ts";
import type { ChangedFiles } from "../template/template-variables.ts";
import { readQuotedName } from "./quoted-name.ts";

export type ChangeKind = "added" | "deleted" | "modified" | "renamed" | "copied";

/** The changes of one file. */
export interface FileDiff {
  readonly kind: ChangeKind;
  /** Name before the change; the new name for added files. */
  readonly oldPath: string;
  /** Name after the change; the old name for deleted files. */
  readonly newPath: string;
  readonly isBinary: boolean;
  readonly oldMode: string | undefined;
  readonly newMode: string | undefined;
  readonly addedLines: number;
  readonly deletedLines: number;
  /** The whole section as it stands in the diff, one character per byte. */
  readonly section: string;
}

export type ParsedDiff =
  | { readonly files: readonly FileDiff[]; readonly problem?: undefined }
  | { readonly files?: undefined; readonly problem: string };

export interface DiffLimits {
  readonly maximumBytes: number;
  readonly maximumFiles: number;
}

export const defaultDiffLimits: DiffLimits = { maximumBytes: 128 * 1024 * 1024, maximumFiles: 100_000 };

class DiffFailure extends Error {}

const start = "diff --git ";

/**
 * Parses the output of `git diff`, with or without `--no-prefix` and `--binary`. Checks every hunk's number of lines, so
 * that no section can hide another file. Refuses names that leave the repository or that git reserves for itself.
 */
export function parseDiff(diff: string | Uint8Array, limits: DiffLimits = defaultDiffLimits): ParsedDiff {
  if (diff.length > limits.maximumBytes) return { problem: `the diff is larger than ${limits.maximumBytes} bytes` };
  const bytes = toByteText(diff);
  try {
    const files: FileDiff[] = [];
    let offset = 0;
    while (offset < bytes.length) {
      if (!bytes.startsWith(start, offset)) throw new DiffFailure(`a section must begin with "${start.trim()}"`);
      if (files.length === limits.maximumFiles) throw new DiffFailure(`more than ${limits.maximumFiles} files`);
      const { file, end } = new SectionReader(bytes, offset).read();
      files.push(file);
      offset = end;
    }
    return { files };
  } catch (error) {
    if (error instanceof DiffFailure) return { problem: error.message };
    throw error;
  }
}

/** Lists of changed files, as templates see them. A mode change is a modification, and a copy counts as renamed. */
export function changedFilesOf(files: readonly FileDiff[]): ChangedFiles {
  const paths = (...kinds: readonly ChangeKind[]) =>
    files.filter(({ kind }) => kinds.includes(kind)).map(({ newPath }) => newPath);
  return {
    modified: paths("modified"),
    added: paths("added"),
    deleted: paths("deleted"),
    renamed: paths("renamed", "copied"),
  };
}

/** A diff of these files. It ends with a line break, which `git apply` needs. */
export function printDiff(files: readonly FileDiff[]): Uint8Array {
  const sections = files.map(({ section }) => (section.endsWith("\n") ? section : `${section}\n`));
  const bytes = new Uint8Array(sections.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const section of sections) {
    for (let index = 0; index < section.length; index++) bytes[offset++] = section.charCodeAt(index);
  }
  return bytes;
}

/** Combines diffs of different files. Two diffs of the same file are a problem, because they depend on an order. */
export function mergeDiffs(diffs: readonly (readonly FileDiff[])[]): ParsedDiff {
  const seen = new Set<string>();
  const files = diffs.flat();
  for (const file of files) {
    for (const path of new Set(file.kind === "copied" ? [file.newPath] : [file.oldPath, file.newPath])) {
      if (seen.has(path)) return { problem: `${JSON.stringify(path)} is changed by two diffs` };
      seen.add(path);
    }
  }
  return { files };
}

class SectionReader {
  private readonly bytes: string;
  private readonly begin: number;
  private offset: number;
  private header = "";
  private oldName: string | undefined;
  private newName: string | undefined;
  private kind: ChangeKind = "modified";
  private oldMode: string | undefined;
  private newMode: string | undefined;
  private isBinary = false;
  private added = 0;
  private deleted = 0;

  constructor(bytes: string, begin: number) {
    this.bytes = bytes;
    this.begin = begin;
    this.offset = begin;
  }

  read(): { readonly file: FileDiff; readonly end: number } {
    this.header = this.nextLine().slice(start.length);
    this.readExtendedHeaders();
    const line = this.peekLine();
    if (line === "GIT binary patch") this.readBinaryPatch();
    else if (/^Binary files .* differ$/s.test(line ?? "")) {
      throw new DiffFailure("a binary file without its content: make the diff with --binary");
    } else if (line?.startsWith("--- ")) this.readHunks();
    const rest = this.peekLine();
    if (rest !== undefined && !rest.startsWith(start)) throw new DiffFailure(`unexpected line ${shown(rest)}`);
    const { oldPath, newPath } = this.paths();
    const file: FileDiff = {
      kind: this.kind,
      oldPath: checkedPath(oldPath),
      newPath: checkedPath(newPath),
      isBinary: this.isBinary,
      oldMode: this.oldMode,
      newMode: this.newMode,
      addedLines: this.added,
      deletedLines: this.deleted,
      section: this.bytes.slice(this.begin, this.offset),
    };
    return { file, end: this.offset };
  }

  private readExtendedHeaders(): void {
    for (let line = this.peekLine(); line !== undefined; line = this.peekLine()) {
      const [, name, value = ""] =
        /^(old mode|new mode|deleted file mode|new file mode|rename from|rename to|copy from|copy to|similarity index|dissimilarity index|index) (.+)$/s.exec(
          line,
        ) ?? [];
      if (name === undefined) return;
      this.nextLine();
      if (name.endsWith("mode") && !/^\d{6}$/.test(value)) throw new DiffFailure(`${shown(value)} is not a mode`);
      if (name === "old mode") this.oldMode = value;
      else if (name === "new mode") this.newMode = value;
      else if (name === "deleted file mode") {
        this.kind = "deleted";
        this.oldMode = value;
      } else if (name === "new file mode") {
        this.kind = "added";
        this.newMode = value;
      } else if (name.startsWith("rename ") || name.startsWith("copy ")) {
        this.kind = name.startsWith("rename ") ? "renamed" : "copied";
        if (name.endsWith("from")) this.oldName = unquoted(value);
        else this.newName = unquoted(value);
      }
    }
  }

  private readHunks(): void {
    const before = fileName(this.nextLine().slice("--- ".length));
    const line = this.nextLine();
    if (!line.startsWith("+++ ")) throw new DiffFailure(`"+++" is missing after "---"`);
    const after = fileName(line.slice("+++ ".length));
    if (before === undefined && after === undefined) throw new DiffFailure("a file can't be both new and deleted");
    if ((before === undefined) !== (this.kind === "added") || (after === undefined) !== (this.kind === "deleted")) {
      throw new DiffFailure(`the header and the names of ${shown(this.header)} contradict each other`);
    }
    if (this.kind !== "renamed" && this.kind !== "copied") this.namesFromLines(before, after);
    else if (!isName(before, "a/", this.oldName) || !isName(after, "b/", this.newName)) {
      throw new DiffFailure(`the header and the names of ${shown(this.header)} contradict each other`);
    }
    let hunks = 0;
    for (let next = this.peekLine(); next?.startsWith("@@ "); next = this.peekLine()) {
      this.readHunk();
      hunks += 1;
    }
    if (hunks === 0) throw new DiffFailure(`${shown(this.header)} has no hunks`);
  }

  private namesFromLines(before: string | undefined, after: string | undefined): void {
    const hasPrefix =
      (before?.startsWith("a/") ?? true) &&
      (after?.startsWith("b/") ?? true) &&
      (before === undefined || after === undefined || before.slice(2) === after.slice(2)) &&
      this.headerNames()?.hasPrefix !== false;
    const strip = (name: string | undefined) => (hasPrefix ? name?.slice(2) : name);
    const oldName = strip(before) ?? strip(after);
    const newName = strip(after) ?? strip(before);
    const inHeader = this.headerNames()?.name ?? newName;
    if (oldName !== newName || inHeader !== newName)
      throw new DiffFailure(`${shown(this.header)} names two files without a rename`);
    this.oldName = oldName;
    this.newName = newName;
  }

  private readHunk(): void {
    const line = this.nextLine();
    const match = /^@@ -\d{1,10}(?:,(\d{1,10}))? \+\d{1,10}(?:,(\d{1,10}))? @@/.exec(line);
    if (!match) throw new DiffFailure(`${shown(line)} is not the header of a hunk`);
    let before = Number(match[1] ?? 1);
    let after = Number(match[2] ?? 1);
    while (before > 0 || after > 0) {
      const content = this.nextLine();
      const [mark] = content;
      if (mark === "\\") continue;
      if (mark === "+") {
        after -= 1;
        this.added += 1;
      } else if (mark === "-") {
        before -= 1;
        this.deleted += 1;
      } else if (mark === " " || mark === undefined) {
        before -= 1;
        after -= 1;
      } else throw new DiffFailure(`unexpected line in a hunk: ${shown(content)}`);
      if (before < 0 || after < 0) throw new DiffFailure(`a hunk of ${shown(this.header)} has the wrong length`);
    }
    while (this.peekLine()?.startsWith("\\ ")) this.nextLine();
  }

  private readBinaryPatch(): void {
    this.isBinary = true;
    this.nextLine();
    let parts = 0;
    for (let line = this.peekLine(); line !== undefined && /^(literal|delta) \d+$/.test(line); line = this.peekLine()) {
      this.nextLine();
      parts += 1;
      for (let data = this.peekLine(); data; data = this.peekLine()) {
        if (!/^[A-Za-z][0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]+$/.test(data)) {
          throw new DiffFailure(`unexpected line in a binary patch: ${shown(data)}`);
        }
        this.nextLine();
      }
      if (this.peekLine() === "") this.nextLine();
    }
    if (parts === 0 || parts > 2) throw new DiffFailure(`the binary patch of ${shown(this.header)} is damaged`);
  }

  private paths(): { readonly oldPath: string; readonly newPath: string } {
    if (this.oldName !== undefined && this.newName !== undefined) {
      return { oldPath: this.oldName, newPath: this.newName };
    }
    const names = this.headerNames();
    if (!names || this.kind === "renamed" || this.kind === "copied") {
      throw new DiffFailure(`the names in ${shown(this.header)} can't be told apart`);
    }
    return { oldPath: names.name, newPath: names.name };
  }

  /** The name in the first line. Both names are the same there, except for renames, which have lines of their own. */
  private headerNames(): { readonly name: string; readonly hasPrefix: boolean } | undefined {
    const quoted = readQuotedName(this.header, 0);
    let before: string;
    let after: string;
    if (quoted) {
      const second = readQuotedName(this.header, quoted.end + 1);
      if (!second || second.end !== this.header.length) return undefined;
      before = quoted.name;
      after = second.name;
    } else {
      if (this.header.startsWith('"')) return undefined;
      // Names may contain spaces. Both have the same length.
      const middle = (this.header.length - 1) / 2;
      if (!Number.isInteger(middle) || this.header[middle] !== " ") return undefined;
      before = this.header.slice(0, middle);
      after = this.header.slice(middle + 1);
    }
    if (before === after) return { name: before, hasPrefix: false };
    const isPrefixed = before.startsWith("a/") && after.startsWith("b/") && before.slice(2) === after.slice(2);
    return isPrefixed ? { name: before.slice(2), hasPrefix: true } : undefined;
  }

  private peekLine(): string | undefined {
    if (this.offset >= this.bytes.length) return undefined;
    const end = this.bytes.indexOf("\n", this.offset);
    return this.bytes.slice(this.offset, end < 0 ? undefined : end);
  }

  private nextLine(): string {
    const line = this.peekLine();
    if (line === undefined) throw new DiffFailure("the diff ends in the middle of a section");
    this.offset += Math.min(line.length + 1, this.bytes.length - this.offset);
    return line;
  }
}

function isName(line: string | undefined, prefix: string, name: string | undefined): boolean {
  return name !== undefined && (line === name || line === prefix + name);
}

/** A name after `---` or `+++`. `undefined` for /dev/null. Git ends names with spaces in them with a tab. */
function fileName(text: string): string | undefined {
  const name = unquoted(text.endsWith("\t") ? text.slice(0, -1) : text);
  return name === "/dev/null" ? undefined : name;
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  const quoted = readQuotedName(text, 0);
  if (!quoted || quoted.end !== text.length) throw new DiffFailure(`${shown(text)} is not a quoted name`);
  return quoted.name;
}

function checkedPath(bytes: string): string {
  const path = fromByteText(bytes);
  const parts = path.split("/");
  if (path.includes("\0") || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new DiffFailure(`${shown(path)} is not the name of a file in a repository`);
  }
  // File systems that ignore case or some characters would take these for .git.
  if (
    parts.some((part) =>
      /^(\.git|git~1)$/i.test(part.replaceAll(/[\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g, "")),
    )
  ) {
    throw new DiffFailure(`${shown(path)} is inside of .git`);
  }
  return path;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
