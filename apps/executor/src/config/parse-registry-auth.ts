import { z } from "zod";
import type { RegistryCredentials } from "./options.ts";

const AuthConfig = z.object({ auths: z.record(z.string(), z.object({ auth: z.string() })).default({}) });

/** Docker's own form of registry credentials; `undefined` when the text is not that. */
export function parseRegistryAuth(text: string | undefined): Record<string, RegistryCredentials> | undefined {
  if (text === undefined) return {};
  const parsed = AuthConfig.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const entries = Object.entries(parsed.data.auths).map(([registry, { auth }]) => {
    const decoded = Buffer.from(auth, "base64").toString();
    const colon = decoded.indexOf(":");
    // Docker writes the hub as an address with a path, the others as plain host names.
    const host = registry.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
    return [host, { username: decoded.slice(0, Math.max(0, colon)), password: decoded.slice(colon + 1) }] as const;
  });
  return Object.fromEntries(entries);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text may hold credentials: nothing of it goes into an error.
    return undefined;
  }
}
