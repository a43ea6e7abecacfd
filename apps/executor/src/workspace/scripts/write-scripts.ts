import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where the scripts stand that no step can change; `/airlock` in the sandbox. */
export async function writeScripts(scriptsDir: string, scripts: readonly string[]): Promise<void> {
  for (const [index, script] of scripts.entries()) {
    const file = join(scriptsDir, scriptName(index));
    await writeFile(file, script);
    await chmod(file, 0o555);
  }
  await chmod(scriptsDir, 0o755);
}

export function scriptName(index: number): string {
  return `${index}.sh`;
}
