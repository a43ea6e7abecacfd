import { constants } from "node:fs";
import { chmod, chown, lstat, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { checkoutInvalid } from "../checkout/checkout-errors.ts";
import type { FileOwner } from "../storage/file-owner.ts";

export interface WorkspaceFile {
  /** Relative to the workspace. */
  readonly path: string;
  readonly content: Buffer | AsyncIterable<Buffer>;
  readonly modifiedAt: Date | undefined;
}

/**
 * Writes a job's files into a workspace that no step has touched yet. The repository may have brought links in place of
 * directories or files: none is followed, so no byte lands outside.
 */
export async function writeWorkspaceFile(
  workspaceDir: string,
  { path, content, modifiedAt }: WorkspaceFile,
  owner: FileOwner | null,
): Promise<void> {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") || path.includes("\0") || parts.length === 0 || parts.includes("..")) {
    throw checkoutInvalid(`the job's file "${path}" is not a path inside the workspace`);
  }
  let directory = workspaceDir;
  for (const part of parts.slice(0, -1)) {
    directory = join(directory, part);
    await enterDirectory(directory, path, owner);
  }
  const target = join(directory, parts.at(-1) ?? "");
  const flags =
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(target, flags, 0o777).catch((error: NodeJS.ErrnoException) => {
    if (["ELOOP", "EISDIR", "ENXIO", "ENAMETOOLONG"].includes(error.code ?? "")) {
      throw checkoutInvalid(
        `the job's file "${path}" cannot be written: the repository has something else there (${error.code})`,
      );
    }
    throw error;
  });
  try {
    await file.writeFile(content);
    // The protocol's mode: a step may run as any user, and files may be scripts.
    await file.chmod(0o777);
    if (owner) await file.chown(owner.uid, owner.gid);
    if (modifiedAt && !Number.isNaN(modifiedAt.getTime())) await file.utimes(modifiedAt, modifiedAt);
  } finally {
    await file.close();
  }
}

async function enterDirectory(directory: string, path: string, owner: FileOwner | null): Promise<void> {
  const found = await lstat(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) {
    await mkdir(directory);
    // Regardless of the umask, see the mode of files.
    await chmod(directory, 0o777);
    if (owner) await chown(directory, owner.uid, owner.gid);
  } else if (!found.isDirectory()) {
    throw checkoutInvalid(
      `the job's file "${path}" cannot be written: the repository has a link or a file in place of a directory`,
    );
  }
}
