import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";

/**
 * Writes the file from which the command line learns address and token of a dev instance, readable by its owner only.
 * Disposing removes the file unless another process has replaced it.
 */
export async function writeConnectionFile(
  file: string,
  connection: { readonly url: string; readonly token: string },
): Promise<AsyncDisposable> {
  const content = `${JSON.stringify(connection)}\n`;
  const temporary = `${file}.${randomBytes(4).toString("hex")}`;
  await writeFile(temporary, content, { mode: 0o600, flag: "wx" });
  await rename(temporary, file);
  return {
    async [Symbol.asyncDispose]() {
      if ((await readFile(file, "utf8").catch(() => "")) === content) await rm(file, { force: true });
    },
  };
}
