import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import type { Config } from "../../config/options.ts";
import { readDockerConfig } from "../../registry-credentials/docker-config.ts";
import type { Check } from "./check.ts";

/** Checks that Docker's configuration file is readable and that the credential helpers it names are installed. */
export function checkRegistryCredentials({
  runtime: { dockerConfigFile, kind, kubernetes },
  job,
  workspace,
}: Config): Check {
  return {
    name: "registry credentials",
    run: async () => {
      const { imagePullSecrets = [] } = kubernetes.pods;
      if (kind === "kubernetes" && imagePullSecrets.length > 0)
        return `Secrets of the namespace: ${imagePullSecrets.join(", ")}`;
      if (dockerConfigFile === null)
        return describe(Object.keys(job.registryCredentials), "EXECUTOR_DOCKER_AUTH_CONFIG");
      const { credentials, helpers, store } = await readDockerConfig(dockerConfigFile);
      const names = [...new Set([...Object.values(helpers), ...(store === null ? [] : [store])])];
      for (const name of names) await requireHelper(name, workspace.path, dockerConfigFile);
      const more = names.length > 0 ? `; helpers ${names.join(", ")}` : "";
      return `${describe(Object.keys(credentials), dockerConfigFile)}${more}`;
    },
  };
}

function describe(registries: readonly string[], source: string): string {
  return registries.length === 0 ? "none" : `${registries.join(", ")} from ${source}`;
}

async function requireHelper(helper: string, path: string, file: string): Promise<void> {
  const program = `docker-credential-${helper}`;
  for (const directory of path.split(":")) {
    const found = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return;
  }
  throw new AirlockError(`${file} names the credential helper "${helper}", but the program ${program} is not on PATH`, {
    code: "credential-helper-missing",
    hint: `Install ${program}, or remove the helper from the file and log in with docker login.`,
  });
}
