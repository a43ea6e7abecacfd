import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { root } from "../programs/run.ts";

const run = promisify(execFile);

/** Builds the programs of this checkout into a directory. */
export async function buildPrograms(directory: string): Promise<void> {
  await run(process.execPath, [path.join(root, "scripts/build.ts"), "--output", directory]);
}

/**
 * Runs `npm run images`.
 * @returns what it printed: a line `REFERENCE DIGEST` for each image.
 */
export async function buildImages(words: readonly string[], options: { readonly cwd?: string } = {}): Promise<string> {
  const { stdout } = await run(process.execPath, [path.join(root, "scripts/images.ts"), ...words], options);
  return stdout;
}
