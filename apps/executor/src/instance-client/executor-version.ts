/**
 * The version that the executor reports to instances, which read it as a semantic version. From 4.3.0 on (or for
 * `0.0.0+dev`) they send payloads of version 2. Airlock's own version number would be too low, so the executor reports
 * a development build.
 */
export const executorVersion = "0.0.0+dev";
