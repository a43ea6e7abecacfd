import { checkoutLimit } from "../checkout/checkout-errors.ts";
import type { Git } from "../checkout/git.ts";
import { type LfsObject, maximumPointerBytes, parseLfsPointer } from "./lfs-pointer.ts";
import { readBlobs } from "./read-blobs.ts";

/** A file of a checkout whose content is in Git LFS. */
export interface LfsFile extends LfsObject {
  /** Latin1: one character per byte of the tree's name. */
  readonly path: string;
  readonly executable: boolean;
}

/**
 * Lists the files of a checkout that are pointers and to which the attributes assign the filter `lfs`. Call it only for
 * a checkout that no step has touched.
 * @throws {AirlockError} code `checkout-limit`.
 */
export async function readLfsFiles(
  git: Git,
  at: readonly string[],
  { maximumFiles, signal }: { readonly maximumFiles: number; readonly signal: AbortSignal },
): Promise<LfsFile[]> {
  const candidates = await listFiltered(git, at, maximumFiles, signal);
  if (candidates.length === 0) return [];
  const objects = [...new Set(candidates.map(({ object }) => object))];
  const small = await smallAmong(git, at, objects, signal);
  const contents = await readBlobs(git, at, small, signal);
  return candidates.flatMap(({ object, path, executable }) => {
    const pointer = parseLfsPointer(contents.get(object) ?? Buffer.alloc(maximumPointerBytes + 1));
    return pointer ? [{ ...pointer, path, executable }] : [];
  });
}

async function listFiltered(git: Git, at: readonly string[], maximumFiles: number, signal: AbortSignal) {
  const found: { readonly object: string; readonly path: string; readonly executable: boolean }[] = [];
  let rest = "";
  let tooMany = false;
  // `H` marks files that are checked out. A sparse checkout marks its other files `S`.
  await git.check([...at, "ls-files", "-z", "-t", "--stage", "--", ":(top,attr:filter=lfs)"], {
    signal,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\0");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, mode, object] = /^H (100644|100755) ([0-9a-f]+) 0\t/.exec(line) ?? [];
        if (!object) continue;
        tooMany ||= found.length >= maximumFiles;
        if (!tooMany) found.push({ object, path: line.slice(line.indexOf("\t") + 1), executable: mode === "100755" });
      }
    },
  });
  if (tooMany) {
    throw checkoutLimit(`the commit has more than ${maximumFiles} Git LFS files`);
  }
  return found;
}

/**
 * Returns the objects that are small enough to be pointers. Content that was committed without the filter may have any
 * size.
 */
async function smallAmong(git: Git, at: readonly string[], objects: readonly string[], signal: AbortSignal) {
  const small: string[] = [];
  let rest = "";
  await git.check([...at, "cat-file", "--batch-check=%(objectname) %(objectsize)"], {
    signal,
    stdin: `${objects.join("\n")}\n`,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [object = "", size] = line.split(" ");
        if (Number(size) <= maximumPointerBytes) small.push(object);
      }
    },
  });
  return small;
}
