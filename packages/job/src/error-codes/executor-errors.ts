import { withoutStatus } from "./error-code-entry.ts";

/**
 * Error codes of executors: at their start, in `executor validate` and `executor install`, and towards the instance.
 */
export const executorErrors = withoutStatus({
  "credential-helper-missing": "The Docker configuration names a credential helper that is not installed.",
  "data-directory-full": "The data directory's disk has too little room.",
  "git-too-old": "The installed git is older than the executor needs.",
  "health-server": "The executor cannot listen on its health server's address.",
  "heartbeat-invalid": "The instance's answer to a heartbeat is not understood.",
  "install-failed": "The package manager could not install a program.",
  "install-manually": "A program is missing that this command cannot install here.",
  "install-target": "There is no such install target, or it cannot be installed here.",
  "instance-refused": "The instance refused a request of the executor.",
  "instance-unauthorized": "The instance does not accept the executor's credentials.",
  "instance-unreachable": "The executor got no answer from the instance.",
  "limits-not-enforced": "This machine cannot enforce the limits of jobs, and the administrator requires them.",
  "log-entry-invalid": "The instance's answer about a new log entry is not understood.",
  "no-runtime": "No sandbox runtime is usable on this machine.",
  "not-json": "The instance's answer is not what the executor protocol describes.",
  "program-too-old": "A program that the executor uses has a known vulnerability.",
});
