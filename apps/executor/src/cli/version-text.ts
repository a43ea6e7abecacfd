import { executorVersion } from "../instance-client/executor-version.ts";

/** Airlock's release. Same as in package.json, which a bundle can't read. */
const release = "0.1.0";

/** Output of `executor version`. The first line is only the version that the executor reports, for scripts. */
export function versionText(): string {
  return `${executorVersion}\nAirlock ${release}, Node ${process.version}, ${process.platform}/${process.arch}`;
}
