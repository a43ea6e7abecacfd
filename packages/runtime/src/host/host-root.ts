import { chmod, lstat, mkdir, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "./error-code.ts";

/** The image name that stands for the host's own tool chain. */
export const hostImageName = "host";

/** Directories with programs and libraries. On hosts with merged /usr all but the first are links into it. */
const programDirectories = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/** Files outside /usr that the host's programs read, as far as they reveal nothing about the host and its users. */
const readOnlyConfiguration = [
  "etc/alternatives",
  "etc/ca-certificates",
  "etc/ld.so.cache",
  "etc/ld.so.conf",
  "etc/ld.so.conf.d",
  "etc/ssl/certs",
  "etc/ssl/openssl.cnf",
];

/**
 * Fills an empty directory with a root file system that shows the host's tool chain and nothing else. Returns the host
 * paths to mount read-only at the same path. Don't mount submounts: a tool chain is in the directory itself, and other
 * mounts of the host must not be exposed.
 */
export async function assembleHostRoot(directory: string): Promise<readonly string[]> {
  const readOnlyPaths: string[] = [];
  for (const [name, mode] of [
    ["dev", 0o755],
    ["proc", 0o755],
    ["sys", 0o755],
    ["data", 0o755],
    ["airlock", 0o755],
    ["etc", 0o755],
    ["etc/ssl", 0o755],
    ["home", 0o755],
    ["root", 0o700],
    ["tmp", 0o1777],
    ["var", 0o755],
    ["var/tmp", 0o1777],
    ["run", 0o755],
  ] as const) {
    await mkdir(join(directory, name));
    await chmod(join(directory, name), mode);
  }
  for (const [name, text] of Object.entries(ownConfiguration))
    await writeFile(join(directory, "etc", name), text, { mode: 0o644 });

  for (const name of programDirectories) {
    const kind = await kindOf(join("/", name));
    if (kind === "link") await symlink(await readlink(join("/", name)), join(directory, name));
    if (kind !== "directory") continue;
    await mkdir(join(directory, name));
    readOnlyPaths.push(join("/", name));
  }
  for (const name of readOnlyConfiguration) {
    const kind = await kindOf(join("/", name));
    if (kind === "directory") await mkdir(join(directory, name));
    else if (kind === "file") await writeFile(join(directory, name), "");
    else continue;
    readOnlyPaths.push(join("/", name));
  }
  return readOnlyPaths;
}

const ownConfiguration: Readonly<Record<string, string>> = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  group: "root:x:0:\nnogroup:x:65534:\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

async function kindOf(path: string): Promise<"directory" | "file" | "link" | "absent"> {
  try {
    const stats = await lstat(path);
    if (stats.isSymbolicLink()) return "link";
    if (stats.isDirectory()) return "directory";
    return stats.isFile() ? "file" : "absent";
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "absent";
    throw error;
  }
}
