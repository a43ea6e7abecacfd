import { opendirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "../host/error-code.ts";

/** A step that writes nothing outside of its workspace leaves about twenty. */
const mostEntries = 100;

/**
 * Removes a directory that holds little, and answers whether it is gone; otherwise some of it is. A process for it would
 * cost more than anything else at the end of a step, and so few calls of the kernel are made faster than they are waited for.
 *
 * Only where no process of a job is left: names are looked up again, links themselves are removed.
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
      // One by one: a job may have left millions.
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
    // Names that are no text, or a mount: rm(1) knows what to do, and tells what it can't.
    return false;
  }
}
