import { readFile } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import type { RegistryCredentials } from "@airlock/runtime";
import { z } from "zod";
import { Auths, registryCredentials, registryHost } from "../config/values/parse-registry-auth.ts";

/** A helper's name becomes part of a program's name, so it must not contain a path. */
const HelperName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/);
const File = z.object({
  auths: Auths.default({}),
  credHelpers: z.record(z.string(), HelperName).default({}),
  credsStore: HelperName.or(z.literal("")).optional(),
});

/** The parts of Docker's `config.json` about credentials. */
export interface DockerConfig {
  /** Credentials in the file itself, by `HOST[:PORT]`, with `docker.io` for Docker Hub. */
  readonly credentials: Readonly<Record<string, RegistryCredentials>>;
  /** NAME of `docker-credential-NAME`, by `HOST[:PORT]`. */
  readonly helpers: Readonly<Record<string, string>>;
  /** NAME of the helper for all other registries; `null`: no helper. */
  readonly store: string | null;
}

const nothing: DockerConfig = { credentials: {}, helpers: {}, store: null };

/**
 * Reads a `config.json`. A missing or inaccessible file counts as empty.
 * @throws {AirlockError} code `invalid-configuration`. The error does not quote the file.
 */
export async function readDockerConfig(file: string): Promise<DockerConfig> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(error.code ?? "")) return undefined;
    throw error;
  });
  if (text === undefined) return nothing;
  const parsed = File.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new AirlockError(`${file} is not a Docker configuration file`, {
      code: "invalid-configuration",
      hint: "Correct or remove the file, or set EXECUTOR_DOCKER_AUTH_CONFIG to the registry credentials.",
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
    // The text may contain credentials, so the error must not quote it.
    return undefined;
  }
}
