import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import type { FileOwner, WorkspaceFile } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const fileFlags =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Writes a file into a tree that untrusted code may have written. Links in place of directories or of the file are not
 * followed, and every directory is opened through its parent's descriptor. So no byte is written outside the tree.
 * @throws {AirlockError} reason `checkout-invalid`.
 */
export async function putFile(root: string, file: WorkspaceFile, owner: FileOwner | null): Promise<void> {
  const { path } = file;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop();
  if (path.startsWith("/") || path.includes("\0") || name === undefined || [...parts, name].includes("..")) {
    throw refused(path, "it is not a path inside the workspace");
  }
  let directory = await open(root, directoryFlags);
  try {
    for (const part of parts) {
      const child = await enter(directory, part, path, owner);
      await directory.close();
      directory = child;
    }
    await write(directory, name, file, owner);
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes(errorCode(error) ?? "")) throw error;
    throw new AirlockError("the job's files do not fit into the workspace", {
      code: "checkout-invalid",
      reason: "checkout-invalid",
      hint: "The workspace is full: ask for more with resources.disk, or free space on the executor's disk.",
      cause: error,
    });
  } finally {
    await directory.close();
  }
}

async function enter(parent: FileHandle, name: string, path: string, owner: FileOwner | null): Promise<FileHandle> {
  const place = childOf(parent, name);
  const openIt = () => open(place, directoryFlags);
  try {
    return await openIt();
  } catch (error) {
    if (["ENOTDIR", "ELOOP"].includes(errorCode(error) ?? "")) {
      throw refused(path, "a directory was replaced by a link or a file");
    }
    if (errorCode(error) !== "ENOENT") throw named(error, path);
  }
  await mkdir(place);
  const made = await openIt();
  try {
    // Ignore the umask, because a step may run as any user.
    await made.chmod(0o777);
    if (owner) await made.chown(owner.uid, owner.gid);
    return made;
  } catch (error) {
    await made.close();
    throw error;
  }
}

async function write(
  directory: FileHandle,
  name: string,
  { path, content, modifiedAt }: WorkspaceFile,
  owner: FileOwner | null,
): Promise<void> {
  const file = await open(childOf(directory, name), fileFlags, 0o777).catch((error: unknown) => {
    throw ["ELOOP", "EISDIR", "ENXIO"].includes(errorCode(error) ?? "")
      ? refused(path, `something else is at that path (${errorCode(error)})`)
      : named(error, path);
  });
  try {
    if (!(await file.stat()).isFile()) throw refused(path, "something else is at that path");
    await file.writeFile(content);
    // The mode that the protocol demands: a step may run as any user, and files may be scripts.
    await file.chmod(0o777);
    if (owner) await file.chown(owner.uid, owner.gid);
    if (modifiedAt && !Number.isNaN(modifiedAt.getTime())) await file.utimes(modifiedAt, modifiedAt);
  } finally {
    await file.close();
  }
}

function named(error: unknown, path: string): unknown {
  return errorCode(error) === "ENAMETOOLONG" ? refused(path, "a name is too long (ENAMETOOLONG)") : error;
}

function refused(path: string, problem: string): AirlockError {
  return new AirlockError(`the job's file "${path}" cannot be written: ${problem}`, {
    code: "checkout-invalid",
    reason: "checkout-invalid",
  });
}

function childOf(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}
