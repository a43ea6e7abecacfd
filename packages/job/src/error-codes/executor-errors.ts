import { withoutStatus } from "./error-code-entry.ts";

/**
 * Error codes of executors: at their start, in `executor validate` and `executor install`, and towards the instance.
 */
export const executorErrors = withoutStatus({
  "credential-helper-missing": "The Docker configuration names a credential helper that is not installed.",
  "data-directory-full": "The data directory's disk has too little free space.",
  "git-too-old": "The installed git is older than the executor needs.",
  "health-server": "The executor cannot listen on the address of its health server.",
  "heartbeat-invalid": "The instance's answer to a heartbeat is not valid.",
  "install-failed": "The package manager could not install a program.",
  "install-manually": "A program is missing, and this command cannot install it here.",
  "test-vm": "A test machine can't be made, found or attached to.",
  "install-target": "The install target does not exist, or cannot be installed here.",
  "instance-refused": "The instance refused a request of the executor.",
  "instance-unauthorized": "The instance does not accept the executor's credentials.",
  "instance-unreachable": "The executor got no answer from the instance.",
  "limits-not-enforced": "This machine cannot enforce the limits of jobs, and the administrator requires them.",
  "log-entry-invalid": "The instance's answer to a new log entry is not valid.",
  "no-runtime": "No sandbox runtime is usable on this machine.",
  "not-json": "The instance's answer does not follow the executor protocol.",
  "program-too-old": "A program that the executor uses has a known vulnerability.",
});
