import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { type FixtureRepository, makeRepository, type RepositoryFile } from "./make-repository.ts";

const run = promisify(execFile);

/** A published package as real-world code: 800 KB in about two hundred files, without dependencies. */
const packageVersion = "validator@13.12.0";

/**
 * Creates a bare repository at `path` from a published package. `main` has four commits with the annotated tags
 * `v0.1.0` (second) and `v1.0.0` (third). The branch `next` is one commit ahead of `main`.
 */
export async function publishedRepository(path: string): Promise<FixtureRepository> {
  await using scratch = await temporaryDirectory("airlock-pack-");
  const { stdout } = await run("npm", ["pack", "--silent", "--ignore-scripts", packageVersion], { cwd: scratch.path });
  await run("tar", ["-xzf", stdout.trim(), "--no-same-owner"], { cwd: scratch.path });
  const files = await readTree(join(scratch.path, "package"));
  const top = files.filter(({ path: name }) => !String(name).includes("/"));
  const library = files.filter(({ path: name }) => String(name).startsWith("lib/"));
  const rest = files.filter((file) => !top.includes(file) && !library.includes(file));
  return makeRepository(path, [
    { message: "Start with the package's own description", files: top },
    { message: "Add the library", files: library, tag: "v0.1.0" },
    { message: "Add the module build", files: rest, tag: "v1.0.0" },
    { message: "Say what changed", files: [{ path: "CHANGES.md", content: "# Changes\n\nEverything.\n" }] },
    { message: "Try something", files: [{ path: "NEXT.md", content: "Not yet.\n" }], branch: "next" },
  ]);
}

async function readTree(directory: string): Promise<RepositoryFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.sort().map(async (file) => ({ path: relative(directory, file), content: await readFile(file) })),
  );
}
