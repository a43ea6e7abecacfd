import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const mostNamed = 5;

/**
 * One sentence about the files of a checkout that are not committed, with the first few names. `undefined` if there are
 * none, or if git can't tell.
 */
export async function describeUncommitted(root: string): Promise<string | undefined> {
  let output: string;
  try {
    // The checkout's configuration must not start a program, and git must not write into the checkout.
    const args = [
      "-c",
      "core.fsmonitor=false",
      "--no-optional-locks",
      "status",
      "--porcelain=v1",
      "-z",
      "--no-renames",
    ];
    const { stdout } = await run("git", ["-C", root, ...args], { timeout: 30_000, maxBuffer: 64 * 1024 * 1024 });
    output = stdout;
  } catch {
    // A bare repository, a missing git, or a checkout of another user. The job can run anyway.
    return undefined;
  }
  const names = output.split("\0").filter((line) => line !== "");
  if (names.length === 0) return undefined;
  const untracked = names.filter((line) => line.startsWith("??")).length;
  const changed = names.length - untracked;
  const counts = [changed > 0 && `${changed} changed`, untracked > 0 && `${untracked} untracked`].filter(Boolean);
  const shown = names.slice(0, mostNamed).map((line) => line.slice(3));
  const more = names.length > mostNamed ? ", …" : "";
  return `the job runs the commit, without uncommitted changes in ${root}: ${counts.join(", ")} (${shown.join(", ")}${more})`;
}
