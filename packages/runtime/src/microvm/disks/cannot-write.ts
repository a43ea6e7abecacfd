import { dirname } from "node:path";
import { type AirlockError, errorMessage, isNoSpace, saysNoSpace } from "@airlock/job";
import { runtimeFailed } from "../../contract/errors.ts";

/** The error for a file of virtual machines that can't be written. Says which disk is full, if one is. */
export function cannotWrite(what: string, path: string, cause: unknown): AirlockError {
  const directory = dirname(path);
  if (isNoSpace(cause) || saysNoSpace(errorMessage(cause))) {
    const hint = "Free space there, or set EXECUTOR_DATA_DIR to a directory on another disk.";
    return runtimeFailed(`${what}: no space left on the disk of ${directory}`, cause, hint);
  }
  const hint = "The directory is below EXECUTOR_DATA_DIR. Check that the executor can write to it.";
  return runtimeFailed(`${what} in ${directory}`, cause, hint);
}
