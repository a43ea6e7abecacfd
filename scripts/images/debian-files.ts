import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { FileTree } from "./file-tree.ts";

const run = promisify(execFile);

/** A Debian package whose files are in an image. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** Links of Debian's merged /usr. */
const mergedDirectories = ["bin", "sbin", "lib", "lib64"] as const;

/**
 * Copies programs of this machine into a tree, with their libraries and licenses.
 * @param programs absolute paths. Files that no package owns may be among them; only their libraries are copied.
 * @returns the packages, sorted by name.
 * @throws {Error} that says what to do where this is not Debian, or a program is missing.
 */
export async function copyDebianFiles(tree: FileTree, programs: readonly string[]): Promise<readonly DebianPackage[]> {
  if (!existsSync("/usr/bin/dpkg-query")) {
    throw new Error("images are made of Debian's git and libraries: run this on Debian or Ubuntu");
  }
  const missing = programs.filter((program) => !existsSync(program));
  if (missing.length > 0) throw new Error(`not on this machine: ${missing.join(", ")}. Install them with apt-get`);
  for (const name of mergedDirectories) tree.link(`/${name}`, `usr/${name}`);
  const owned = programs.filter((program) => program.startsWith("/usr/"));
  const libraries = new Set((await Promise.all(programs.map(librariesOf))).flat());
  const sources = new Set<string>();
  for (const file of [...owned, ...libraries]) {
    const inUsr = inMergedUsr(file);
    const real = inMergedUsr(await realpath(file));
    sources.add(real);
    await tree.copy(real);
    // Programs name a library by the first two numbers of its version, which is a link to the file.
    if (real !== inUsr) tree.link(inUsr, path.relative(path.dirname(inUsr), real));
  }
  const packages = await packagesOf([...sources, "/usr/share/ca-certificates/mozilla"]);
  await copyCertificates(tree);
  for (const { name } of packages) await tree.copy(`/usr/share/doc/${name}/copyright`);
  return packages;
}

/** The authorities of Debian's package, without those that this machine's administrator added. */
async function copyCertificates(tree: FileTree): Promise<void> {
  const directory = "/usr/share/ca-certificates/mozilla";
  const names = existsSync(directory) ? await readdir(directory) : [];
  const files = names.map((name) => path.join(directory, name));
  if (files.length === 0) throw new Error("no certificate authorities: install ca-certificates");
  const texts = await Promise.all(files.sort().map((file) => readFile(file, "utf8")));
  tree.file("/etc/ssl/certs/ca-certificates.crt", texts.map((text) => `${text.trim()}\n`).join(""));
}

/** Absolute paths of all libraries of a program, with its dynamic linker. Libraries next to the program don't count. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const { stdout } = await run("ldd", [program], { env: { LC_ALL: "C", PATH: "/usr/bin:/bin" } }).catch(
    (error: { readonly stderr: string }) => {
      // Says so of static programs, and fails.
      if (error.stderr.trim() === "not a dynamic executable") return { stdout: "" };
      throw error;
    },
  );
  const lost = /^\s*(\S+) => not found$/m.exec(stdout)?.[1];
  if (lost !== undefined) throw new Error(`${program} needs ${lost}, which is not installed`);
  return [...stdout.matchAll(/(?:=> |^\s+)(\/(?:usr\/)?lib\S*) \(0x/gm)].map(([, file = ""]) => file);
}

function inMergedUsr(file: string): string {
  return mergedDirectories.some((name) => file.startsWith(`/${name}/`)) ? `/usr${file}` : file;
}

async function packagesOf(files: readonly string[]): Promise<readonly DebianPackage[]> {
  const names = new Set<string>();
  for (const file of files) {
    const { stdout } = await run("dpkg-query", ["--search", file]).catch(() =>
      // dpkg knows files by the path in their package, which may be older than the merged /usr.
      run("dpkg-query", ["--search", file.replace(/^\/usr/, "")]),
    );
    for (const owner of stdout.split("\n")[0]?.split(": ")[0]?.split(", ") ?? []) names.add(owner);
  }
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills it in.
  const format = "${Package}\\t${Version}\\t${Architecture}\\n";
  const { stdout } = await run("dpkg-query", ["--show", `--showformat=${format}`, ...names]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => {
      const [name = "", version = "", architecture = ""] = line.split("\t");
      return { name, version, architecture };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
