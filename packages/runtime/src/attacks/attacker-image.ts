import { execFile } from "node:child_process";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { buildImage, busyboxLayer, type FixtureImage, type ImageConfig, type LayerEntry } from "@airlock/test-kit";

const perl = "/usr/bin/perl";

let layer: Promise<readonly LayerEntry[]> | undefined;

/** Busybox, and Debian's perl with its base modules: a language whose `syscall` makes any system call. */
export async function attackerImage(config: ImageConfig = {}): Promise<FixtureImage> {
  layer ??= perlLayer();
  return buildImage([await busyboxLayer(), await layer], { Env: ["PATH=/bin:/usr/bin"], ...config });
}

async function perlLayer(): Promise<readonly LayerEntry[]> {
  const { stdout } = await promisify(execFile)("ldd", [perl]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
  const { stdout: modules } = await promisify(execFile)(perl, ["-e", "print grep { /perl-base$/ } @INC"]);
  return [
    { name: "usr/", type: "directory", mode: 0o755 },
    { name: "usr/bin/", type: "directory", mode: 0o755 },
    { name: "usr/bin/perl", mode: 0o755, content: await readFile(perl) },
    ...(await Promise.all(libraries.map(async (path) => file(path, await realpath(path))))),
    ...(await tree(modules)),
  ];
}

async function tree(directory: string): Promise<LayerEntry[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map((path) => file(path, path)));
}

async function file(path: string, source: string): Promise<LayerEntry> {
  return { name: relative("/", path), mode: 0o755, content: await readFile(source) };
}
