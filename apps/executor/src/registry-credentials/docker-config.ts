import { readFile } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import type { RegistryCredentials } from "@airlock/runtime";
import { z } from "zod";
import { Auths, registryCredentials, registryHost } from "../config/values/parse-registry-auth.ts";

/** A helper's name becomes that of a program: nothing that leads elsewhere. */
const HelperName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/);
const File = z.object({
  auths: Auths.default({}),
  credHelpers: z.record(z.string(), HelperName).default({}),
  credsStore: HelperName.or(z.literal("")).optional(),
});

/** What Docker's config.json says about credentials. */
export interface DockerConfig {
  /** Those that stand in the file, by `HOST[:PORT]`, `docker.io` for the hub. */
  readonly credentials: Readonly<Record<string, RegistryCredentials>>;
  /** The names of `docker-credential-NAME` by `HOST[:PORT]`. */
  readonly helpers: Readonly<Record<string, string>>;
  /** The helper of all other registries; `null`: none. */
  readonly store: string | null;
}

const nothing: DockerConfig = { credentials: {}, helpers: {}, store: null };

/**
 * Reads a config.json; one that is not there says nothing.
 * @throws {AirlockError} code `invalid-configuration`, without anything of the file's content.
 */
export async function readDockerConfig(file: string): Promise<DockerConfig> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(error.code ?? "")) return undefined;
    throw error;
  });
  if (text === undefined) return nothing;
  const parsed = File.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new AirlockError(`${file} is no configuration of Docker`, {
      code: "invalid-configuration",
      hint: "Mend or remove the file, or give registry credentials in EXECUTOR_DOCKER_AUTH_CONFIG.",
    });
  }
  const { auths, credHelpers, credsStore } = parsed.data;
  return {
    credentials: registryCredentials(auths),
    helpers: Object.fromEntries(Object.entries(credHelpers).map(([registry, name]) => [registryHost(registry), name])),
    store: credsStore || null,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text may hold credentials: nothing of it goes into an error.
    return undefined;
  }
}
