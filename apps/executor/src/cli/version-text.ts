import { executorVersion } from "../instance-client/executor-version.ts";

/** Airlock's release. Same as in package.json, which a bundle can't read. */
const release = "0.1.0";

/** Output of `executor version`. The first line is only the release, for scripts. */
export function versionText(): string {
  const parts = [`Node ${process.version}`, `${process.platform}/${process.arch}`];
  return `${release}\n${parts.join(", ")}, reports itself to instances as ${executorVersion}`;
}
