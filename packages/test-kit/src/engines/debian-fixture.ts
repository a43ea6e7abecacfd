import { access, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { debianFiles } from "./debian-files.ts";
import { engines } from "./engines.ts";

/** The files that the engine `debian` builds. */
export interface DebianFixture {
  /** An OCI layout of all `debianImages`. It is also a valid `docker save` layout. */
  readonly imagesDirectory: string;
  /** Debian packages with their dependencies, and Python wheels, for a test's own mirror to serve. */
  readonly packagesDirectory: string;
}

/**
 * Waits until the Debian images of this run are ready.
 * @throws {Error} when they could not be built, with the end of debootstrap's log.
 */
export async function debianFixture(): Promise<DebianFixture> {
  const { debian } = engines();
  if (!debian) throw new Error("this run has no engine debian");
  const { images, packages, ready, failure } = debianFiles(debian.directory);
  while (!(await isReady(ready))) {
    const reason = await readFile(failure, "utf8").catch(() => undefined);
    if (reason !== undefined) throw new Error(reason);
    await sleep(200);
  }
  return { imagesDirectory: images, packagesDirectory: packages };
}

async function isReady(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
