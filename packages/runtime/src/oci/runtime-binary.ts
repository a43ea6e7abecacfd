import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { basename, join } from "node:path";
import { runtimeFailed } from "../errors.ts";
import { runCommand, systemPath } from "./run-command.ts";

/** The program that starts containers from OCI bundles. */
export interface RuntimeBinary {
  readonly path: string;
  /** Decides how cgroups are handed over; everything else is the same for both. */
  readonly kind: "crun" | "runc";
  /** E.g. `crun 1.8.1`. */
  readonly version: string;
}

/** @throws {AirlockError} reason `runtime` when there is none, or it does not run. */
export async function findRuntimeBinary(
  runtimePath: string | undefined,
  kinds: readonly RuntimeBinary["kind"][],
): Promise<RuntimeBinary> {
  const path = runtimePath ?? (await findOnSystemPath(kinds));
  const hint = `Install ${kinds.join(" or ")}, e.g. \`apt-get install ${kinds[0]}\`.`;
  if (path === undefined) throw runtimeFailed("no OCI runtime is installed that works here", undefined, hint);
  let words: string;
  try {
    words = await runCommand(path, ["--version"]);
  } catch (error) {
    throw runtimeFailed(`the OCI runtime ${path} does not run`, error, hint);
  }
  const match = /^(crun|runc) version (\S+)/m.exec(words);
  if (!match) {
    throw runtimeFailed(`${basename(path)} is neither crun nor runc`, undefined, "Name the path of crun or runc.");
  }
  const kind = match[1] === "crun" ? "crun" : "runc";
  if (!kinds.includes(kind)) throw runtimeFailed(`${kind} does not work here without root`, undefined, hint);
  return { path, kind, version: `${match[1]} ${match[2]}` };
}

export async function findOnSystemPath(names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    for (const directory of systemPath.split(":")) {
      const candidate = join(directory, name);
      const usable = await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (usable) return candidate;
    }
  }
  return undefined;
}
