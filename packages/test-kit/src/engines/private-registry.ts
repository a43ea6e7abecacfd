import { type RegistryEngine, startRegistryEngine } from "./registry-engine.ts";

/** A registry that only accepts two users. Both may read everything. */
export interface PrivateRegistry extends RegistryEngine {
  readonly users: readonly [RegistryUser, RegistryUser];
}

export interface RegistryUser {
  readonly username: string;
  readonly password: string;
  /** The value of an Authorization header. */
  readonly authorization: string;
}

const hashes = [
  "alice:$2y$05$abcdefghijklmnopqrstuu7zZDLp2I8VXVCwM7nJ1FN9coS9J98Sy",
  "bob:$2y$05$abcdefghijklmnopqrstuuqu0G5TeUXYkV33OB3MmHBzaXCspgTDm",
];

/**
 * Starts the registry on `host`. If a Docker daemon of the tests has to reach it, pass the host of
 * `engines().registry`.
 */
export async function startPrivateRegistry(host = "127.0.0.1"): Promise<PrivateRegistry> {
  const engine = await startRegistryEngine(host, { htpasswd: hashes });
  const users = [user("alice", "wonderland-of-alice"), user("bob", "builder-of-bob-here")] as const;
  return { ...engine, users };
}

function user(username: string, password: string): RegistryUser {
  const basic = Buffer.from(`${username}:${password}`).toString("base64");
  return { username, password, authorization: `Basic ${basic}` };
}
