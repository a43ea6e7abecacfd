import type { Abortable } from "./abortable.ts";

/**
 * What the job's workspace, `/data`, begins as. The runtime decides how it gets into the sandbox: a mount, a disk image, a
 * volume or a stream. Nothing outside the runtime may presume that host and sandbox share a disk.
 */
export interface WorkspacePlan {
  /**
   * Absolute path of a finished tree on this host. The caller keeps it there and unchanged until the sandbox is disposed;
   * the runtime never changes it, and no step can. `null`: the workspace begins empty.
   */
  readonly checkout: string | null;
  /** Put into the workspace after the checkout, in this order, as `Sandbox.putFiles` does. */
  readonly files: readonly WorkspaceFile[];
  /** Files below `/airlock` for all steps. Their paths differ from those of the steps' own files. */
  readonly readOnlyFiles: readonly ReadOnlyFile[];
}

/** A file to put into the workspace, where steps may change it. Any user may read, write and execute it (mode 0777). */
export interface WorkspaceFile {
  /** Relative to the workspace, `/` between names; no `..`. Missing directories are made (mode 0777). */
  readonly path: string;
  /** Read once. */
  readonly content: Buffer | AsyncIterable<Buffer>;
  /** `undefined`: now. */
  readonly modifiedAt: Date | undefined;
}

/** A file below `/airlock` that every user of the sandbox may read and none may change. */
export interface ReadOnlyFile {
  /** Relative to `/airlock`: `[A-Za-z0-9._-]` and `/` between names; no `..`. */
  readonly path: string;
  readonly content: Buffer | string;
  readonly executable: boolean;
}

/** Ids of this host. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface WalkOptions<State> extends Abortable {
  /** The state of the directory that the walk begins at. */
  readonly start: State;
  /** The state at a name in a directory; `null`: neither it nor anything below is of interest. */
  readonly advance: (state: State, name: Buffer, isDirectory: boolean) => State | null;
  /** How many entries may be looked at, ignored ones included. */
  readonly maximumEntries: number;
  /**
   * How far down the walk goes: 0 means the directory's own entries only. A directory at this depth is answered and not
   * entered. At most 1000: each level may hold a file descriptor.
   */
  readonly maximumDepth: number;
}

/** Something in a tree. Its methods work until the walk goes on. */
export interface TreeEntry<State> {
  /** From the directory that the walk began at, as the bytes that stand in the directories. */
  readonly path: Buffer;
  readonly stats: TreeStats;
  readonly state: State;
  /**
   * The content of a regular file, at most `stats.size` bytes: what is added meanwhile is not read.
   * @throws {AirlockError} code `not-a-file` when it is anything but the regular file that was seen.
   */
  contents(): AsyncIterable<Buffer>;
  /** What a symbolic link says, as bytes. */
  readLink(): Promise<Buffer>;
}

export interface TreeStats {
  /** `other`: a device, a socket or a pipe. */
  readonly kind: "file" | "directory" | "link" | "other";
  readonly size: number;
  /** Permission bits as in chmod(2), 0 to 0o7777. */
  readonly mode: number;
  readonly modifiedMs: number;
}
