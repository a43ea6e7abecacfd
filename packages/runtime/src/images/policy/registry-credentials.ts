import { createHash } from "node:crypto";
import type { RegistryCredentials } from "../../contract/index.ts";

/** A digest that distinguishes credentials without storing them. */
export function credentialsDigest(credentials: RegistryCredentials | undefined): string {
  if (!credentials) return "anonymous";
  const { username, password, identityToken = "", registryToken = "" } = credentials;
  return createHash("sha256")
    .update(JSON.stringify([username, password, identityToken, registryToken]))
    .digest("hex");
}
