import { shortName } from "./short-name.ts";

/** `EXECUTOR_VM_PREFIX` of Sourcegraph's executor. */
export const defaultNamePrefix = "executor";
const maximumNameLength = 60;

/** The name of a sandbox's machine: its id behind the administrator's prefix. */
export function machineName(prefix: string, id: string): string {
  const name = `${prefix}-${id}`;
  return name.length <= maximumNameLength ? name : `${prefix}-${shortName(id)}`;
}
