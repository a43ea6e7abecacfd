import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { findGo, goEnvironment } from "./find-go.ts";

/** A module of Go, with the checksum that `go.sum` would have for it. */
export interface GoModule {
  readonly path: string;
  readonly version: string;
  readonly sum: string;
}

/**
 * Downloads a Go module into Go's cache, unless it is there. Modules also contain files that are not Go.
 * @returns the absolute path of its directory.
 * @throws {Error} when it can't be downloaded, or has other content than the one that was checked.
 */
export async function goModule({ path, version, sum }: GoModule): Promise<string> {
  const { path: go } = await findGo();
  await using scratch = await temporaryDirectory("go-module-");
  const { stdout } = await promisify(execFile)(go, ["mod", "download", "-json", `${path}@${version}`], {
    cwd: scratch.path,
    env: { ...goEnvironment(), GOFLAGS: "" },
  });
  const found = JSON.parse(stdout) as { readonly Dir: string; readonly Sum: string };
  if (found.Sum !== sum) throw new Error(`${path} ${version} is not the module that was checked: ${found.Sum}`);
  return found.Dir;
}
