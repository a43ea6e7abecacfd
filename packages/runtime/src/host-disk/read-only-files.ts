import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AirlockError } from "@airlock/job";
import type { ReadOnlyFile } from "../contract/index.ts";

/**
 * Writes files into the directory that a sandbox sees read-only at `/airlock`. Synchronous: the files are few and
 * small, the kernel answers from memory, and a step waits for them.
 *
 * Steps run as their image's user, which may be any, so every user may read the files. Directories can be traversed but
 * not listed, so a process has to know a file's name to find it.
 * @throws {AirlockError} code `sandbox-misused` for a path that leaves the directory; `EEXIST` for one that is taken.
 */
export function placeReadOnlyFiles(dir: string, files: readonly ReadOnlyFile[]): Disposable {
  const placed: string[] = [];
  const remove = () => {
    for (const path of placed) rmSync(path, { recursive: true, force: true });
  };
  try {
    for (const file of files) {
      checkPath(file.path);
      const target = join(dir, file.path);
      placed.push(target);
      makeDirectories(dir, dirname(target), placed);
      writeFileSync(target, file.content, { mode: 0o400, flag: "wx" });
      // Ignore the umask.
      chmodSync(target, file.executable ? 0o555 : 0o444);
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { [Symbol.dispose]: remove };
}

function makeDirectories(root: string, dir: string, placed: string[]): void {
  if (dir === root) return;
  makeDirectories(root, dirname(dir), placed);
  try {
    mkdirSync(dir, { mode: 0o711 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
    throw error;
  }
  placed.push(dir);
  chmodSync(dir, 0o711);
}

function checkPath(path: string): void {
  if (/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(path) && !path.split("/").some((part) => /^\.{1,2}$/.test(part))) {
    return;
  }
  throw new AirlockError(`"${path}" is not a path below /airlock`, { code: "sandbox-misused", reason: "runtime" });
}
