import { errorMessage } from "@airlock/job";

const words: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EISDIR: "it is a directory, not a file",
  ENOTDIR: "a part of its path is not a directory",
  EEXIST: "it exists already",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
};

/** Why a file could not be used, without Node's error codes and call names. The caller names the file. */
export function describeFileError(error: unknown): string {
  return words[systemCode(error) ?? ""] ?? errorMessage(error);
}

/** The system's code of an error, such as `ENOENT`. `undefined` if it has none. */
export function systemCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === "string" ? code : undefined;
}
