import { opendirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "../host/error-code.ts";

/** A step that writes nothing outside of its workspace leaves about twenty entries. */
const mostEntries = 100;

/**
 * Removes a directory with few entries. Returns whether it is completely removed; otherwise some of it may be. Starting
 * a process for it would be the most expensive part of a step's end. For so few entries, synchronous calls are faster
 * than asynchronous ones.
 *
 * Call it only when no process of the job is left, because names are looked up again. Links themselves are removed, not
 * their targets.
 */
export function removeSmallTree(path: string): boolean {
  const directories: string[] = [];
  const files: string[] = [];
  const queue = [path];
  let found = 0;
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    directories.push(name);
    try {
      using directory = opendirSync(name);
      // Read entries one by one, because a job may have left millions.
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        found += 1;
        if (found > mostEntries) return false;
        (entry.isDirectory() ? queue : files).push(join(name, entry.name));
      }
    } catch (error) {
      return name === path && errorCode(error) === "ENOENT";
    }
  }
  try {
    for (const file of files) unlinkSync(file);
    for (const directory of directories.reverse()) rmdirSync(directory);
    return true;
  } catch {
    // A name that is not valid text, or a mount. rm(1) handles those, and reports what it can't remove.
    return false;
  }
}
