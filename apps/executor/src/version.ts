/**
 * What the executor calls itself on the wire. Instances read it as a semantic version: from 4.3.0 on (or `0.0.0+dev`)
 * they send payloads of version 2, so a development build says so instead of its own low number.
 */
export const executorVersion = "0.0.0+dev";

/** The project's release, as in package.json, which a bundle does not have beside it. */
const release = "0.1.0";

/** What `executor version` prints: first the version on the wire, alone on its line, for scripts. */
export function versionText(): string {
  return `${executorVersion}\nAirlock ${release}, Node ${process.version}, ${process.platform}/${process.arch}`;
}
