import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Creates the files of an apt repository (`/debian`), a Python index (`/simple`) and an npm registry (`/npm`) for a web
 * server. Returns the `package-lock.json` of a project that uses the npm registry.
 * @param packagesDirectory contains Debian packages and wheels.
 * @param url where the directory will be served.
 */
export async function makePackageSources(
  directory: string,
  { packagesDirectory, url }: { readonly packagesDirectory: string; readonly url: string },
): Promise<{ readonly npmLock: string }> {
  const names = await readdir(packagesDirectory);
  const from = (suffix: string) => names.filter((name) => name.endsWith(suffix));
  await makeAptRepository(join(directory, "debian"), packagesDirectory, from(".deb"));
  await makePythonIndex(join(directory, "simple"), packagesDirectory, from(".whl"));
  return { npmLock: await makeNpmRegistry(join(directory, "npm"), `${url}/npm`) };
}

/** A flat repository: https://wiki.debian.org/DebianRepository/Format */
async function makeAptRepository(directory: string, source: string, packages: readonly string[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  const stanzas: string[] = [];
  for (const name of packages) {
    // The server would decode percent signs, which file names of packages with an epoch contain.
    const file = name.replaceAll("%", "-");
    await copyFile(join(source, name), join(directory, file));
    const { stdout: control } = await run("dpkg-deb", ["--field", join(directory, file)]);
    const bytes = await readFile(join(directory, file));
    stanzas.push(`${control.trimEnd()}\nFilename: ./${file}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n`);
  }
  const index = stanzas.join("\n");
  await writeFile(join(directory, "Packages"), index);
  const sums = ` ${sha256(Buffer.from(index))} ${Buffer.byteLength(index)} Packages\n`;
  await writeFile(join(directory, "Release"), `Origin: tests\nDate: ${new Date().toUTCString()}\nSHA256:\n${sums}`);
}

const project = "airlock-sample";

/** Contains the wheels and a source distribution that needs one of them. https://peps.python.org/pep-0503/ */
async function makePythonIndex(directory: string, source: string, wheels: readonly string[]): Promise<void> {
  const files = new Map<string, string[]>();
  for (const wheel of wheels) {
    const name = wheel.split("-")[0] ?? "";
    await mkdir(join(directory, name), { recursive: true });
    await copyFile(join(source, wheel), join(directory, name, wheel));
    files.set(name, [...(files.get(name) ?? []), wheel]);
  }
  const place = join(directory, project);
  const top = `${project}-1.0`;
  const metadata = `Metadata-Version: 2.1\nName: ${project}\nVersion: 1.0\n`;
  await writeTree(join(place, top), {
    "PKG-INFO": metadata,
    "setup.py": `from setuptools import setup
setup(name="${project}", version="1.0", packages=["airlock_sample"], install_requires=["wheel"],
      entry_points={"console_scripts": ["airlock-sample=airlock_sample:main"]})
`,
    "airlock_sample/__init__.py": "def main():\n    import wheel\n    print('sample with wheel', wheel.__version__)\n",
  });
  await run("tar", ["-C", place, "-czf", join(place, `${top}.tar.gz`), top]);
  files.set(project, [`${top}.tar.gz`]);
  for (const [name, links] of files) {
    await writeFile(join(directory, name, "index.html"), links.map((link) => `<a href="${link}">${link}</a>`).join(""));
  }
}

/**
 * Publishes two packages: one with a program, and one that depends on it and builds a file in its postinstall script.
 */
async function makeNpmRegistry(directory: string, url: string): Promise<string> {
  const made = [
    await publish(directory, url, {
      manifest: { name: "sample-words", version: "1.2.3", bin: { "sample-words": "words.js" }, main: "words.js" },
      files: { "words.js": '#!/usr/bin/env node\nmodule.exports = "words"; console.log("the words");\n' },
    }),
    await publish(directory, url, {
      manifest: {
        name: "sample-built",
        version: "2.0.0",
        dependencies: { "sample-words": "^1.0.0" },
        scripts: { postinstall: "node build.js" },
      },
      files: {
        "build.js": `const { execFileSync } = require("node:child_process");
require("node:fs").writeFileSync("built.c", "int main(void) { return 42; }");
execFileSync("gcc", ["-o", "built", "built.c"]);
`,
      },
    }),
  ];
  return JSON.stringify({
    name: "workload",
    version: "1.0.0",
    lockfileVersion: 3,
    requires: true,
    packages: {
      "": { name: "workload", version: "1.0.0", dependencies: { "sample-built": "^2.0.0" } },
      ...Object.fromEntries(made.map(({ name, ...locked }) => [`node_modules/${name}`, locked])),
    },
  });
}

interface NpmPackage {
  readonly manifest: { readonly name: string; readonly version: string; readonly [field: string]: unknown };
  readonly files: Readonly<Record<string, string>>;
}

/** https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md */
async function publish(directory: string, url: string, { manifest, files }: NpmPackage) {
  const { name, version } = manifest;
  const place = join(directory, name);
  await writeTree(join(place, "package"), { ...files, "package.json": JSON.stringify(manifest) });
  const tarball = `${name}-${version}.tgz`;
  await run("tar", ["-C", place, "-czf", join(place, tarball), "package"]);
  const integrity = `sha512-${createHash("sha512")
    .update(await readFile(join(place, tarball)))
    .digest("base64")}`;
  const dist = { tarball: `${url}/${name}/${tarball}`, integrity };
  const metadata = { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
  await writeFile(join(place, "index.json"), JSON.stringify(metadata));
  const { bin, dependencies, scripts } = manifest;
  return {
    name,
    version,
    resolved: dist.tarball,
    integrity,
    ...(bin ? { bin } : {}),
    ...(dependencies ? { dependencies } : {}),
    ...(scripts ? { hasInstallScript: true } : {}),
  };
}

async function writeTree(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), text);
  }
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
