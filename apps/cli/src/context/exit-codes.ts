/**
 * Exit codes of the command line. With `--follow` the exit code is the job's. Failures of the command itself are 125
 * then, as in `docker run`, so that a script can tell the two apart.
 */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  failureWhileFollowing: 125,
  interrupted: 130,
  /** stdout or stderr was closed (128 + SIGPIPE). With `--follow` this says nothing about the job's result. */
  brokenPipe: 141,
} as const;

export const requestExitCodesHelp = `
Exit codes:
  0    done
  1    the request failed, for example: no instance, not allowed, not found
  2    the command line is wrong, or a file that it names cannot be used`;

export const localExitCodesHelp = `
Exit codes:
  0    the job completed
  1    the job failed without an exit code
  2    the command line is wrong, or a file that it names cannot be used
  125  the job could not be run
  130  interrupted by Ctrl-C, which cancels the job
Otherwise the exit code is that of the failing step.`;

export const followExitCodesHelp = `
Exit codes:
  0    done; with --follow: the job completed
  1    the request failed; with --follow: the job was canceled, timed out, or failed without an exit code
  2    the command line is wrong, or a file that it names cannot be used
With --follow the exit code is the job's, which is the failing step's. The command's own exit codes are then:
  125  the command failed or its command line is wrong; the job may keep running
  130  interrupted by Ctrl-C; the job keeps running`;
