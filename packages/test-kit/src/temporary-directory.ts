import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TemporaryDirectory extends AsyncDisposable {
  /** Absolute, mode 0700, empty; short enough that a Unix socket's path (at most 107 bytes) fits below it. */
  readonly path: string;
}

/** A fresh private directory, removed with all that is in it when disposed. */
export async function temporaryDirectory(prefix = "airlock-"): Promise<TemporaryDirectory> {
  const parent = tmpdir();
  const path = await mkdtemp(join(parent.length > 40 ? "/tmp" : parent, prefix));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
  };
}
