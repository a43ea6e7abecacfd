import { withoutStatus } from "./error-code-entry.ts";

/** Error codes of the command line. */
export const commandErrors = withoutStatus({
  "connection-invalid": "The address of the instance, or the file that holds it, is not valid.",
  "connection-not-private": "Another user can write the file that holds the instance's address.",
  "damaged-download": "A downloaded artifact is not the one that the instance stored.",
  "job-file-invalid": "The job file does not match its schema.",
  "job-file-unreadable": "The job file cannot be read.",
  "no-artifact": "The job left no such artifact.",
  "no-connection": "No address of an instance is configured.",
  "no-token": "The file for the administrator's token is empty.",
  "program-ended": "A program that `airlock dev` runs ended unexpectedly.",
  "program-failed": "A program could not be started.",
  redirected: "The instance's address redirects to another one.",
  refused: "The instance refused the job that the command line describes.",
  "repository-failed": "The repository of the job cannot be used.",
  "secret-unreadable": "A secret's value cannot be read.",
  "unexpected-answer": "The instance's answer has a form that this version does not know.",
  "unexpected-status": "The address answered with an HTTP error that does not come from Airlock.",
  "unknown-error": "The answer has no error code, or one that this version does not know.",
  unreachable: "The instance does not answer.",
  usage: "The command line is wrong.",
  "working-tree": "The uncommitted changes of a checkout cannot be submitted.",
});
