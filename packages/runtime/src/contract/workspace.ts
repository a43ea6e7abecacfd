import type { Abortable } from "./abortable.ts";

/**
 * The initial content of the job's workspace, `/data`. The runtime decides how it gets into the sandbox: as a mount, a
 * disk image, a volume or a stream. Code outside the runtime must not assume that host and sandbox share a disk.
 */
export interface WorkspacePlan {
  /**
   * Absolute path of a complete tree on this host. The caller keeps it unchanged until the sandbox is disposed of.
   * Neither the runtime nor a step changes it. `null`: the workspace starts empty.
   */
  readonly checkout: string | null;
  /**
   * The directories whose overlay is the checkout, topmost first, if the runtime asks for them
   * (`RuntimeDescription.mountsCheckoutLayers`). They stay unchanged, too. Then the runtime does not use `checkout`,
   * which may be a tree with other content. Default: the checkout itself is complete.
   */
  readonly checkoutLayers?: readonly string[] | undefined;
  /** Written into the workspace after the checkout, in this order, as by `Sandbox.putFiles`. */
  readonly files: readonly WorkspaceFile[];
  /** Files below `/airlock` for all steps. Their paths must differ from those of the steps' own files. */
  readonly readOnlyFiles: readonly ReadOnlyFile[];
}

/**
 * A file to write into the workspace, where steps may change it. Any user may read, write and execute it (mode 0777).
 */
export interface WorkspaceFile {
  /** Relative to the workspace, `/` between names, no `..`. Missing directories are created (mode 0777). */
  readonly path: string;
  /** The runtime reads it only once. */
  readonly content: Buffer | AsyncIterable<Buffer>;
  /** Modification time. `undefined`: now. */
  readonly modifiedAt: Date | undefined;
}

/** A file below `/airlock` that every user of the sandbox may read and none can change. */
export interface ReadOnlyFile {
  /** Relative to `/airlock`: `[A-Za-z0-9._-]` and `/` between names, no `..`. */
  readonly path: string;
  readonly content: Buffer | string;
  readonly executable: boolean;
}

/** User and group, as ids of this host. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface WalkOptions<State> extends Abortable {
  /** The state of the directory at which the walk starts. */
  readonly start: State;
  /** Computes the state of an entry from its directory's state. `null`: skip the entry and everything below. */
  readonly advance: (state: State, name: Buffer, isDirectory: boolean) => State | null;
  /** Maximum number of entries to inspect, including skipped ones. */
  readonly maximumEntries: number;
  /**
   * Maximum depth of the walk. 0 means only the directory's own entries. A directory at this depth is yielded but not
   * entered. At most 1000: each level may keep a file descriptor open.
   */
  readonly maximumDepth: number;
}

/** An entry of a tree. Its methods work until the walk continues. */
export interface TreeEntry<State> {
  /** Path relative to the start of the walk, as the raw bytes of the names. */
  readonly path: Buffer;
  readonly stats: TreeStats;
  readonly state: State;
  /**
   * The content of a regular file, at most `stats.size` bytes. What is appended meanwhile is not read.
   * @throws {AirlockError} code `not-a-file` when it is no longer the regular file that the walk saw, `unreadable` when
   * its permissions deny it.
   */
  contents(): AsyncIterable<Buffer>;
  /** The target of a symbolic link, as bytes. */
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
