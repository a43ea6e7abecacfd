import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const Skip = z.object({ nextStep: z.string() });
const maximumBytes = 64 * 1024;

/**
 * The protocol's way for a step to skip others: after a step named `….pre`, the file `skip.json` in the workspace names
 * the step to go on with. Jobs wrote it, so it is read as what it may be: a link, a pipe, anything.
 */
export async function readSkip(directory: string | null, stepName: string): Promise<string | undefined> {
  if (directory === null || !stepName.endsWith(".pre")) return undefined;
  const path = join(directory, "skip.json");
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  if (!file) return undefined;
  try {
    const { size } = await file.stat().then((stats) => (stats.isFile() ? stats : { size: Number.POSITIVE_INFINITY }));
    if (size > maximumBytes) return undefined;
    const parsed = Skip.safeParse(JSON.parse((await file.readFile()).toString()));
    await rm(path, { force: true });
    return parsed.data?.nextStep;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    await file.close();
  }
}
