import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { systemPath } from "@airlock/process";

/** Returns the absolute path of the first of these programs that is installed in a system directory. */
export async function findOnSystemPath(names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    for (const directory of systemPath.split(":")) {
      const candidate = join(directory, name);
      const usable = await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (usable) return candidate;
    }
  }
  return undefined;
}
