/** Limits that the kernel enforces on git and on each program that it starts. */
export interface GitLimits {
  /** Maximum size of a file that git writes. Above it, git reports "File too large". */
  readonly fileBytes?: number;
  /** Maximum memory of one process. Above it, git reports "Out of memory". */
  readonly memoryBytes: number;
}

/**
 * Errors of ulimit are ignored: a tighter hard limit can't be raised and stays in force. With XFSZ ignored, a write
 * above the limit fails with an error instead of killing git.
 */
const limitScript = `trap '' XFSZ; ulimit -f "$1" 2>/dev/null; ulimit -d "$2" 2>/dev/null; shift 2; exec git "$@"`;

/** The command's exit code if git is not installed. */
export const gitNotFoundExitCode = 127;

/** The command line that runs git within limits. */
export function limitedGit(args: readonly string[], { fileBytes, memoryBytes }: GitLimits): string[] {
  const blocks = fileBytes === undefined ? "unlimited" : String(Math.max(1, Math.ceil(fileBytes / 512)));
  return ["/bin/sh", "-c", limitScript, "git", blocks, String(Math.ceil(memoryBytes / 1024)), ...args];
}
