import { executorVersion } from "../instance-client/executor-version.ts";

/** The project's release, as in package.json, which a bundle does not have beside it. */
const release = "0.1.0";

/** What `executor version` prints: first the version on the wire, alone on its line, for scripts. */
export function versionText(): string {
  return `${executorVersion}\nAirlock ${release}, Node ${process.version}, ${process.platform}/${process.arch}`;
}
