import { execFile } from "node:child_process";
import { promisify } from "node:util";

const exec = promisify(execFile);

/**
 * Runs a system tool to its end and answers what it printed. Arguments are passed as they are, never through a shell.
 * @throws an Error with the tool's own words when it exits with a code other than 0.
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<string> {
  try {
    const { stdout } = await exec(file, [...args], {
      encoding: "utf8",
      maxBuffer: 1 << 20,
      // The words of the tools are matched and shown: they must not depend on the host's language.
      env: { PATH: systemPath, LC_ALL: "C" },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return stdout;
  } catch (error) {
    options.signal?.throwIfAborted();
    const words = error instanceof Error && "stderr" in error ? String(error.stderr).trim().slice(0, 1000) : "";
    throw new Error(`${file} failed${words ? `: ${words}` : ""}`, { cause: error });
  }
}

/** Where system tools are looked for, whatever the caller's own PATH. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Removes trees that a job wrote: any depth, any names, never leaving them through links or mounts. */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  // Node's own recursive removal builds whole paths, so it fails on trees deeper than PATH_MAX; rm walks with openat.
  await runCommand("rm", ["-rf", "--one-file-system", "--", ...paths]);
}
