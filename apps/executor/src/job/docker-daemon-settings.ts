import { type EgressPolicy, parseAllowRule } from "@airlock/job";
import type { DockerDaemonSettings } from "@airlock/runtime";
import { reaches } from "./step-proxy.ts";

export interface DockerDaemonOptions {
  readonly registryMirrors: readonly URL[];
  /** From `stepProxyEnvironment`. */
  readonly proxyEnvironment: Readonly<Record<string, string>>;
  readonly policy: EgressPolicy;
}

/**
 * What the Docker daemon of a job gets of the administrator's settings: the proxy of steps, and the mirrors that the
 * job's egress policy reaches. The daemon would wait for others at each pull.
 */
export function dockerDaemonSettings(options: DockerDaemonOptions): DockerDaemonSettings {
  const { registryMirrors, proxyEnvironment, policy } = options;
  const reached = registryMirrors.filter((url) => {
    const port = url.port || (url.protocol === "https:" ? "443" : "80");
    const destination = parseAllowRule(`${url.hostname}:${port}`);
    return destination.kind !== "invalid" && reaches(policy, destination);
  });
  return { registryMirrors: reached.map(({ origin }) => origin), environment: proxyEnvironment };
}

/** The daemon's settings with the authorities that steps trust. Both find them in the same file. */
export function withCertificates(
  settings: DockerDaemonSettings,
  { SSL_CERT_FILE: file }: Readonly<Record<string, string>>,
): DockerDaemonSettings {
  return file === undefined ? settings : { ...settings, environment: { ...settings.environment, SSL_CERT_FILE: file } };
}
