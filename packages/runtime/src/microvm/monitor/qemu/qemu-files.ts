import { readFile, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { outputOf, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";
import { findOnSystemPath } from "../../../host/find-program.ts";
import { isStatic } from "../../disks/guest-system.ts";

/** What a machine's QEMU needs of the host, beside the files of the machine. */
export interface QemuFiles {
  /** QEMU's real path. */
  readonly program: string;
  /** The real path of setpriv, which gives up the privileges. */
  readonly setpriv: string;
  /** Programs, and their loader. */
  readonly files: readonly string[];
  /** Directories of shared libraries, QEMU's modules and firmware. */
  readonly directories: readonly string[];
  /** The part of `directories` in which the loader looks. */
  readonly libraries: readonly string[];
}

const limitMs = 10_000;
const hint = "Correct the path in EXECUTOR_QEMU.";

/**
 * Finds out what QEMU needs. The programs that confine it are among that.
 * @throws {AirlockError} reason `runtime` when the program is a script, or for another processor.
 */
export async function findQemuFiles(path: string): Promise<QemuFiles> {
  const program = await realpath(path);
  const [setpriv, umount] = await Promise.all(["setpriv", "umount"].map(findTool));
  const programs = [program, setpriv ?? "", umount ?? ""];
  const needed = (await Promise.all(programs.map((file) => librariesOf(file)))).flat();
  // The loader has a name of its own, outside the directories of libraries. The same directory can have two names.
  const loaders = needed.filter(({ isLoader }) => isLoader).map((library) => library.path);
  const named = needed.filter(({ isLoader }) => !isLoader).map((library) => dirname(library.path));
  const libraries = unique([...named, ...(await Promise.all(unique(named).map((name) => realpath(name))))]);
  const directories = withoutNested([...libraries, ...(await dataDirectories(program))]);
  const files = unique([...programs, ...loaders]).filter((file) => !directories.some((name) => isInside(file, name)));
  return { program, setpriv: setpriv ?? "", files, directories, libraries };
}

async function findTool(name: string): Promise<string> {
  const found = await findOnSystemPath([name]);
  if (found !== undefined) return await realpath(found);
  throw runtimeFailed(`${name} is not installed`, undefined, "Install the packages util-linux and mount.");
}

interface Library {
  readonly path: string;
  readonly isLoader: boolean;
}

async function librariesOf(program: string): Promise<readonly Library[]> {
  let listing: string;
  try {
    listing = await outputOf(["ldd", program], { env: systemEnvironment, timeoutMs: limitMs });
  } catch (cause) {
    if (isStatic(await readFile(program))) return [];
    const reason = "it is not an ELF program of this machine, and a script has no interpreter where machines run";
    throw runtimeFailed(`QEMU can't be run at ${program}: ${reason}`, cause, hint);
  }
  const lines = listing.matchAll(/^\s*(.+ => )?(\/.+) \(0x[\da-f]+\)$/gm);
  return [...lines].map(([, name, path = ""]) => ({ path, isLoader: name === undefined }));
}

/** Where QEMU looks for firmware, as far as these directories exist. */
async function dataDirectories(program: string): Promise<readonly string[]> {
  const printed = await outputOf([program, "-L", "help"], { env: systemEnvironment, timeoutMs: limitMs });
  const named = printed.split("\n").filter((line) => line.startsWith("/"));
  const found = await Promise.all(
    named.map(async (name) => {
      const real = await realpath(name).catch(() => null);
      return real === null ? [] : [resolve(name), real];
    }),
  );
  return found.flat();
}

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)];

const isInside = (path: string, directory: string): boolean => path.startsWith(`${directory}/`);

function withoutNested(directories: readonly string[]): readonly string[] {
  return unique(directories).filter((name) => !directories.some((other) => isInside(name, other)));
}
