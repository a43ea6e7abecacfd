import { basename } from "node:path";
import { outputOf } from "@airlock/process";
import { runtimeFailed } from "../contract/index.ts";
import { findOnSystemPath } from "../host/find-program.ts";

export type RuntimeKind = "crun" | "runc" | "runsc";

/** The program that starts containers from OCI bundles. */
export interface RuntimeBinary {
  readonly path: string;
  /** Determines how cgroups are passed on, and whether steps see gVisor's kernel. */
  readonly kind: RuntimeKind;
  /** For example `crun 1.8.1`. */
  readonly version: string;
}

/**
 * @param wanted Absolute path, or a name on the system's search path; `undefined`: the first of the usual ones that is
 * installed.
 * @throws {AirlockError} reason `runtime` when there is no such program, or it does not run.
 */
export async function findRuntimeBinary(
  wanted: string | undefined,
  { isRoot, usual }: { readonly isRoot: boolean; readonly usual: readonly RuntimeKind[] },
): Promise<RuntimeBinary> {
  const names = wanted === undefined ? usual : [wanted];
  const path = wanted?.startsWith("/") ? wanted : await findOnSystemPath(names);
  const hint = `Install ${names.join(" or ")}, e.g. \`apt-get install ${names[0]}\`.`;
  if (path === undefined) throw runtimeFailed("no installed OCI runtime works on this machine", undefined, hint);
  let words: string;
  try {
    words = await outputOf([path, "--version"]);
  } catch (error) {
    throw runtimeFailed(`the OCI runtime ${path} cannot be run`, error, hint);
  }
  const [, name, version] = /^(crun|runc|runsc) version (\S+)/m.exec(words) ?? [];
  const kind = runtimeKinds.find((known) => known === name);
  if (kind === undefined) {
    throw runtimeFailed(
      `${basename(path)} is not crun, runc or runsc`,
      undefined,
      "Give the path of one of these programs.",
    );
  }
  const works = kind === "runsc" ? isRoot : usual.includes(kind);
  if (!works) throw runtimeFailed(`${kind} does not work without root on this machine`, undefined, hint);
  return { path, kind, version: `${kind} ${version}` };
}

const runtimeKinds = ["crun", "runc", "runsc"] as const;
