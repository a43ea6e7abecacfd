import { readFile } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import type { RegistryCredentials } from "./options.ts";

const Auths = z.record(z.string(), z.object({ auth: z.string().optional() }));
const AuthConfig = z.object({ auths: Auths.default({}) });

/** Docker's own form of registry credentials; `undefined` when the text is not that. */
export function parseRegistryAuth(text: string | undefined): Record<string, RegistryCredentials> | undefined {
  if (text === undefined) return {};
  const parsed = AuthConfig.safeParse(parseJson(text));
  return parsed.success ? registryCredentials(parsed.data.auths) : undefined;
}

/** By `HOST[:PORT]`, `docker.io` for the hub. Entries without a user and a password of their own are none of ours. */
export function registryCredentials(auths: z.output<typeof Auths>): Record<string, RegistryCredentials> {
  const entries = Object.entries(auths).flatMap(([registry, { auth = "" }]) => {
    const decoded = Buffer.from(auth, "base64").toString();
    const colon = decoded.indexOf(":");
    if (colon <= 0) return [];
    return [
      [registryHost(registry), { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }] as const,
    ];
  });
  return Object.fromEntries(entries);
}

/** Docker writes the hub as an address with a path, the others as plain host names. */
function registryHost(registry: string): string {
  const host = registry.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return ["index.docker.io", "registry-1.docker.io"].includes(host) ? "docker.io" : host;
}

/**
 * The credentials that `docker login` wrote into a file; none when there is no such file. Those that a credential helper
 * keeps elsewhere are not among them.
 * @throws {AirlockError} code `configuration`.
 */
export async function readDockerConfig(file: string): Promise<Record<string, RegistryCredentials>> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(error.code ?? "")) return undefined;
    throw error;
  });
  const parsed = parseRegistryAuth(text);
  if (parsed) return parsed;
  throw new AirlockError(`${file} is no configuration of Docker`, {
    code: "configuration",
    hint: "Mend or remove the file, or give registry credentials in EXECUTOR_DOCKER_AUTH_CONFIG.",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text may hold credentials: nothing of it goes into an error.
    return undefined;
  }
}
