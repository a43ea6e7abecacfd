import { accessSync, constants } from "node:fs";
import { join } from "node:path";

// Daemons live in sbin, which is often absent from the search path of those who are not root.
const directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The absolute path of the first of `names` that is installed, or `undefined`. */
export function findExecutable(...names: readonly string[]): string | undefined {
  for (const name of names) {
    for (const directory of directories) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here: the next one.
      }
    }
  }
  return undefined;
}
