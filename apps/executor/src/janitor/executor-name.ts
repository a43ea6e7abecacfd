import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

/**
 * Returns the executor's name on the wire: the host's name and an id of the data directory. The name is stable, so an
 * instance lists the executor once, however often it restarts. Two processes never share a name at the same time,
 * because the data directory is locked. Where a disk with the directory was copied to another machine, the host's name
 * differs.
 */
export async function executorName(dataDir: string): Promise<string> {
  return `${hostname()}-${await directoryId(join(dataDir, "executor-uuid"))}`;
}

async function directoryId(file: string): Promise<string> {
  const known = (await readFile(file, "utf8").catch(() => "")).trim();
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(known)) return known;
  const id = randomUUID();
  await writeFile(`${file}.tmp`, `${id}\n`);
  await rename(`${file}.tmp`, file);
  return id;
}
