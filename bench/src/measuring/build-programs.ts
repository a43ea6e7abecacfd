import { spawn } from "node:child_process";
import path from "node:path";
import { text } from "node:stream/consumers";

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));

let built: Promise<string> | undefined;

/**
 * Builds the shipped programs and the web UI from the current sources, once per run, and returns their directory.
 * @throws {Error} with the output of the build.
 */
export function buildPrograms(progress: (text: string) => void): Promise<string> {
  progress("npm run build");
  built ??= build();
  return built;
}

async function build(): Promise<string> {
  const child = spawn(process.execPath, [path.join(root, "scripts/build.ts")], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`npm run build failed (${code}):\n${stdout}${stderr}`.trimEnd());
  return path.join(root, "dist");
}
