import { canonicalRegistry, type RegistryCredentials } from "@airlock/runtime";
import { z } from "zod";

const Entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});
export const Auths = z.record(z.string(), Entry);
const AuthConfig = z.object({ auths: Auths.default({}) });

/** Parses Docker's own format of registry credentials; `undefined` when the text has another format. */
export function parseRegistryAuth(text: string | undefined): Record<string, RegistryCredentials> | undefined {
  if (text === undefined) return {};
  const parsed = AuthConfig.safeParse(parseJson(text));
  return parsed.success ? registryCredentials(parsed.data.auths) : undefined;
}

/** Credentials by `HOST[:PORT]`, with `docker.io` for Docker Hub. Skips entries that contain no credentials. */
export function registryCredentials(auths: z.output<typeof Auths>): Record<string, RegistryCredentials> {
  const entries = Object.entries(auths).flatMap(([registry, entry]) => {
    const credentials = credentialsOf(entry);
    return credentials ? [[registryHost(registry), credentials] as const] : [];
  });
  return Object.fromEntries(entries);
}

function credentialsOf(entry: z.output<typeof Entry>): RegistryCredentials | undefined {
  const decoded = Buffer.from(entry.auth ?? "", "base64").toString();
  const colon = decoded.indexOf(":");
  const encoded =
    colon > 0
      ? { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, "") }
      : undefined;
  const written = entry.username ? { username: entry.username, password: entry.password ?? "" } : undefined;
  const user = encoded ?? written ?? { username: "", password: "" };
  // Docker's command line stores a token that the registry issued in this form.
  const isToken = user.username === "<token>" && user.password !== "";
  const identityToken = entry.identitytoken || (isToken ? user.password : "");
  const registryToken = entry.registrytoken ?? "";
  if (user.username === "" && identityToken === "" && registryToken === "") return undefined;
  return {
    ...(isToken ? { username: "", password: "" } : user),
    ...(identityToken === "" ? {} : { identityToken }),
    ...(registryToken === "" ? {} : { registryToken }),
  };
}

/** Docker writes Docker Hub as an address with a path, and other registries as plain host names. */
export function registryHost(registry: string): string {
  const host = registry.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return canonicalRegistry(host) ?? host;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text may contain credentials, so the error must not quote it.
    return undefined;
  }
}
