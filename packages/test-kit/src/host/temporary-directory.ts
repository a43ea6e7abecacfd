import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface TemporaryDirectory extends AsyncDisposable {
  /**
   * Absolute path of an empty directory with mode 0700. Short enough for the path of a Unix socket (at most 107 bytes)
   * below it.
   */
  readonly path: string;
}

/** Creates a private directory. Disposing removes it with its content. */
export async function temporaryDirectory(prefix = "airlock-"): Promise<TemporaryDirectory> {
  const parent = tmpdir();
  const path = await mkdtemp(join(parent.length > 40 ? "/tmp" : parent, prefix));
  return {
    path,
    async [Symbol.asyncDispose]() {
      try {
        await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENAMETOOLONG")) throw error;
        // A suite of attacks nests directories beyond the longest path. This program removes them by handles.
        await promisify(execFile)("rm", ["-rf", "--", path]);
      }
    },
  };
}
