import { stat } from "node:fs/promises";

/** A text that changes when one of the files is replaced or changed. */
export async function versionOfFiles(paths: readonly string[]): Promise<string> {
  return JSON.stringify(await Promise.all(paths.map(versionOf)));
}

async function versionOf(path: string): Promise<string> {
  return await stat(path, { bigint: true }).then(
    ({ dev, ino, size, mtimeNs }) => `${dev} ${ino} ${size} ${mtimeNs}`,
    (error: NodeJS.ErrnoException) => String(error.code),
  );
}
