import { withoutStatus } from "./error-code-entry.ts";

/** Error codes of the command line. */
export const commandErrors = withoutStatus({
  "connection-invalid": "The address of the instance, or the file that holds it, is not valid.",
  "connection-not-private": "Another user can write the file that holds the instance's address.",
  "damaged-download": "An artifact arrived with other bytes than the instance has stored.",
  "job-file-invalid": "The job file breaks its schema.",
  "job-file-unreadable": "The job file cannot be read.",
  "no-artifact": "The job left no such artifact.",
  "no-connection": "The command does not know where the instance is.",
  "no-token": "The file with the administrator's token is empty.",
  "program-ended": "A program of `airlock dev` ended.",
  "program-failed": "A program could not be started.",
  redirected: "The instance's address redirects to another one.",
  refused: "The instance refused the job that the command line describes.",
  "repository-failed": "The repository that a job was to use cannot be used.",
  "secret-unreadable": "A secret's value cannot be read.",
  "unexpected-answer": "An answer of the instance is not what this version expects.",
  "unexpected-status": "The address answered with an HTTP status that is not a success and no error of Airlock.",
  "unknown-error": "The answer's code is not one that this version knows, or it has none.",
  unreachable: "The instance does not answer.",
  usage: "The command line is wrong.",
  "working-tree": "The uncommitted changes of a checkout cannot be taken.",
});
