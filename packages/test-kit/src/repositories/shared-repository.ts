import { access, mkdtemp, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inject } from "vitest";
import type { FixtureRepository } from "./make-repository.ts";
import { publishedRepository } from "./published-repository.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** A directory that the suites of one run share. Removed at the end of the run. */
    runDirectory: string;
  }
}

/** Returns the repository of a published package that all suites of a run share. Clone it, don't change it. */
export async function sharedRepository(): Promise<FixtureRepository> {
  const parent = inject("runDirectory");
  const shared = join(parent, "published");
  const description = join(shared, "fixture.json");
  const exists = await access(description).then(
    () => true,
    () => false,
  );
  if (!exists) {
    const own = await mkdtemp(join(parent, "making-"));
    const made = await publishedRepository(own);
    await writeFile(join(own, "fixture.json"), JSON.stringify({ ...made, path: shared }));
    // Another suite may have created it meanwhile, with the same commits. Then its directory is not empty.
    await rename(own, shared).catch(ignoreExisting);
  }
  return JSON.parse(await readFile(description, "utf8")) as FixtureRepository;
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
}
