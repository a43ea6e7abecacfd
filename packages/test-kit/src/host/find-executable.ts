import { accessSync, constants } from "node:fs";
import { join } from "node:path";

// Daemons are in sbin directories, which are often missing from PATH for users other than root.
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
        // Not here, try the next directory.
      }
    }
  }
  return undefined;
}
