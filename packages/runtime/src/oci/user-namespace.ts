import { mkdir, readFile } from "node:fs/promises";
import { outputOf } from "@airlock/process";
import { errorCode } from "../host/error-code.ts";
import { type IdRange, isUnmapped } from "../host/id-range.ts";

/** How containers get their own user namespace if the executor is root. */
export interface UserNamespaces {
  /**
   * An empty directory that every user can reach. In its own mount namespace, a step's file systems are mounted below
   * it. The container's root, an unprivileged user on the host, can't access their original directories.
   */
  readonly stageDirectory: string;
}

/** Candidates for the stage directory. The first one that can be created is used. */
const stageDirectories = ["/run/airlock-stage", "/var/run/airlock-stage", "/mnt/airlock-stage"];

/** How the users in one sandbox's containers are mapped to users of the host. */
export interface MappedUsers extends UserNamespaces {
  readonly range: IdRange;
  /** The user namespace that containers join. `null`: the OCI runtime makes one for each container. */
  readonly namespacePath: string | null;
}

/** Returns what user namespaces need, or one sentence about why this host does not allow them. */
export async function findUserNamespaces(ids: IdRange): Promise<UserNamespaces | { readonly problem: string }> {
  const maximum = await readIfThere("/proc/sys/user/max_user_namespaces");
  if (maximum === undefined) return { problem: "The kernel has no user namespaces." };
  if (Number(maximum) === 0) {
    return { problem: "The kernel does not allow user namespaces (user.max_user_namespaces is 0)." };
  }
  const unmapped = await isUnmapped(ids);
  if (unmapped) {
    return { problem: `The ids ${ids.base} to ${ids.base + ids.size - 1} do not exist where the executor runs.` };
  }
  // Containers need a new proc mount, which the kernel refuses where the executor's own is partly hidden.
  const proc = ["--user", "--map-root-user", "--pid", "--fork", "--mount", "--mount-proc", "--", "true"];
  try {
    await outputOf(["unshare", ...proc]);
  } catch (error) {
    const words = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
    return { problem: `The kernel refuses a user namespace with its own /proc (${words}).` };
  }
  for (const stageDirectory of stageDirectories) {
    if (await isMade(stageDirectory)) return { stageDirectory };
  }
  return {
    problem: `Cannot create any of ${stageDirectories.join(", ")}, where a step's file systems would be mounted.`,
  };
}

async function isMade(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o711 });
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return true;
    if (["ENOENT", "EACCES", "EPERM", "EROFS"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
