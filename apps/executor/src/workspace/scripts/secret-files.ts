import { randomBytes } from "node:crypto";
import { type SecretFile, secretVariable } from "@airlock/api";
import type { ReadOnlyFile } from "@airlock/runtime";

/** A step's secrets as files, and the variables that tell the step their paths: `NAME_FILE` → path in the sandbox. */
export interface StepSecrets {
  readonly files: readonly ReadOnlyFile[];
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * The image chooses the step's user, so every user in the sandbox may read the files. Only the step knows the name of
 * their directory. That directory can't be listed where the runtime keeps it on this host's disk.
 */
export function stepSecrets(secrets: readonly SecretFile[]): StepSecrets {
  const directory = `secrets/${randomBytes(16).toString("hex")}`;
  return {
    files: secrets.map(({ name, value }) => ({ path: `${directory}/${name}`, content: value, executable: false })),
    variables: Object.fromEntries(
      secrets.map(({ name }) => [secretVariable({ name, file: true }), `/airlock/${directory}/${name}`]),
    ),
  };
}
