import { execFile } from "node:child_process";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { buildImage, busyboxLayer, type FixtureImage, type ImageConfig, type LayerEntry } from "@airlock/test-kit";

let layer: Promise<readonly LayerEntry[]> | undefined;

/**
 * An image with busybox, with Debian's perl and its base modules, and with `/bin/setuid-id`. Perl's `syscall` can make
 * any system call. `/bin/setuid-id` is a copy of `id` with the setuid bit of root.
 */
export async function attackerImage(config: ImageConfig = {}, more: readonly LayerEntry[] = []): Promise<FixtureImage> {
  layer ??= toolLayer();
  return buildImage([await busyboxLayer(), await layer, more], { Env: ["PATH=/bin:/usr/bin"], ...config });
}

async function toolLayer(): Promise<readonly LayerEntry[]> {
  const [perl, id] = ["/usr/bin/perl", "/usr/bin/id"];
  const libraries = new Set((await Promise.all([perl, id].map(librariesOf))).flat());
  const { stdout: modules } = await promisify(execFile)(perl, ["-e", "print grep { /perl-base$/ } @INC"]);
  return [
    { name: "usr/", type: "directory", mode: 0o755 },
    { name: "usr/bin/", type: "directory", mode: 0o755 },
    await file(perl, perl),
    { name: "bin/setuid-id", mode: 0o4755, content: await readFile(id) },
    ...(await Promise.all([...libraries].map(async (path) => file(path, await realpath(path))))),
    ...(await tree(modules)),
  ];
}

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ldd", [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
}

async function tree(directory: string): Promise<LayerEntry[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map((path) => file(path, path)));
}

async function file(path: string, source: string): Promise<LayerEntry> {
  return { name: relative("/", path), mode: 0o755, content: await readFile(source) };
}
