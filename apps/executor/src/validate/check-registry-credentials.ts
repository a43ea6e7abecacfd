import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import type { Config } from "../config/options.ts";
import { readDockerConfig } from "../config/parse-registry-auth.ts";
import type { Check } from "./check.ts";

const Helpers = z.object({
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: z.string().optional(),
});

/** Credentials of image registries: that Docker's configuration can be read, and that the helpers it names are there. */
export function checkRegistryCredentials({ runtime: { dockerConfigFile }, job, workspace }: Config): Check {
  return {
    name: "registry credentials",
    run: async () => {
      if (dockerConfigFile === null)
        return describe(Object.keys(job.registryCredentials), "EXECUTOR_DOCKER_AUTH_CONFIG");
      const registries = Object.keys(await readDockerConfig(dockerConfigFile));
      const helpers = await readHelpers(dockerConfigFile);
      for (const helper of helpers) await requireHelper(helper, workspace.path, dockerConfigFile);
      const more = helpers.length > 0 ? `; helpers ${helpers.join(", ")}` : "";
      return `${describe(registries, dockerConfigFile)}${more}`;
    },
  };
}

function describe(registries: readonly string[], source: string): string {
  return registries.length === 0 ? "none" : `${registries.join(", ")} from ${source}`;
}

async function readHelpers(file: string): Promise<readonly string[]> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return [];
  const parsed = Helpers.safeParse(JSON.parse(text));
  if (!parsed.success) return [];
  const { credHelpers, credsStore } = parsed.data;
  return [...new Set([...Object.values(credHelpers), ...(credsStore ? [credsStore] : [])])];
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
  throw new AirlockError(
    `${file} names the credential helper "${helper}", and there is no program ${program} on PATH`,
    {
      code: "credential-helper-missing",
      hint: `Install ${program}, or take the helper out of the file and log in with docker login.`,
    },
  );
}
