/** Limits that the kernel enforces on git and on each program that it starts. */
export interface GitLimits {
  /** Size of a file that it writes. Git says "File too large" past it. */
  readonly fileBytes?: number;
  /** Memory of one process. Git says "Out of memory" past it. */
  readonly memoryBytes: number;
}

/** Tighter limits stay. A write past the limit fails with an error instead of killing git unprepared. */
const limitScript = `trap '' XFSZ; ulimit -f "$1" 2>/dev/null; ulimit -d "$2" 2>/dev/null; shift 2; exec git "$@"`;

/** The exit code of the command when there is no git. */
export const gitNotFoundExitCode = 127;

/** The command line of git within limits. */
export function limitedGit(args: readonly string[], { fileBytes, memoryBytes }: GitLimits): string[] {
  const blocks = fileBytes === undefined ? "unlimited" : String(Math.max(1, Math.ceil(fileBytes / 512)));
  return ["/bin/sh", "-c", limitScript, "git", blocks, String(Math.ceil(memoryBytes / 1024)), ...args];
}
