import { AirlockError } from "@airlock/job";
import { z } from "zod";

/** Credentials by registry. `auth` has Docker's format: base64 of `user:password`. */
export type RegistryAuth = Readonly<Record<string, { readonly auth: string }>>;

const Entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
});
const DockerConfig = z.object({ auths: z.record(z.string(), Entry).default({}) });

/**
 * Parses the contents of Docker's `config.json`. Ignores credential helpers and stores, which are programs on another
 * machine.
 * @throws {AirlockError} reason `secret-unavailable`; its message contains nothing of the text.
 */
export function parseRegistrySecret(text: string): RegistryAuth {
  const parsed = DockerConfig.safeParse(parseJson(text));
  if (!parsed.success) throw invalid(`it is not JSON such as {"auths":{"HOST":{"auth":"…"}}}`);
  const auths = Object.entries(parsed.data.auths).map(([registry, { auth, username, password }]) => {
    const made =
      username !== undefined && password !== undefined ? Buffer.from(`${username}:${password}`).toString("base64") : "";
    const given = auth || made;
    if (!Buffer.from(given, "base64").toString().includes(":")) {
      throw invalid(`"auth" of one of its registries is not base64 of user:password`);
    }
    return [registry, { auth: given }] as const;
  });
  return Object.fromEntries(auths);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The error's message would quote the text.
  }
}

function invalid(problem: string): AirlockError {
  return new AirlockError(`the secret DOCKER_AUTH_CONFIG can't be used: ${problem}`, {
    code: "secret-unavailable",
    reason: "secret-unavailable",
    hint: "Set it to the contents of a Docker config.json with auths, or delete it; then retry the job.",
  });
}
