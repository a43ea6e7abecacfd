import { randomBytes } from "node:crypto";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SecretFile, secretVariable } from "@airlock/api";

/** Files that are there while one step runs. Disposing removes them. */
export interface PlacedSecrets extends AsyncDisposable {
  /** Where the step finds each: `NAME_FILE` → its path in the sandbox. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * Writes the secrets of the step that runs next under the directory that every sandbox sees read-only at `/airlock`. Steps
 * run one after the other and nothing of a step is left when it has ended, so what is written after the one before it and
 * removed before the one after it is this step's alone, in every runtime.
 *
 * The step's user is the image's and may be anybody, so the files can be read by all who reach them; a directory whose
 * name only the step is told, below one that can't be listed, keeps other users of this machine from that.
 */
export async function placeSecrets(scriptsDir: string, files: readonly SecretFile[]): Promise<PlacedSecrets> {
  if (files.length === 0) return { variables: {}, [Symbol.asyncDispose]: async () => {} };
  const root = join(scriptsDir, "secrets");
  const remove = () => rm(root, { recursive: true, force: true });
  const name = randomBytes(16).toString("hex");
  try {
    await mkdir(root, { mode: 0o700 });
    await mkdir(join(root, name), { mode: 0o700 });
    for (const file of files) {
      await writeFile(join(root, name, file.name), file.value, { mode: 0o400, flag: "wx" });
      await chmod(join(root, name, file.name), 0o444);
    }
    // Opened from the inside out, and regardless of the umask.
    await chmod(join(root, name), 0o755);
    await chmod(root, 0o711);
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    variables: Object.fromEntries(
      files.map((file) => [secretVariable({ name: file.name, file: true }), `/airlock/secrets/${name}/${file.name}`]),
    ),
    [Symbol.asyncDispose]: remove,
  };
}
