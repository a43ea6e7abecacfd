import { randomBytes } from "node:crypto";
import { type SecretFile, secretVariable } from "@airlock/api";
import type { ReadOnlyFile } from "@airlock/runtime";

/** A step's own files with its secrets, and where the step finds each: `NAME_FILE` → its path in the sandbox. */
export interface StepSecrets {
  readonly files: readonly ReadOnlyFile[];
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * The step's user is the image's and may be any, so every user of the sandbox may read the files. Only the step is told
 * the name of their directory, which can't be listed where the runtime keeps them on this host's disk.
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
