import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";

/**
 * The repository for the sample job: this checkout at its HEAD. If the files are not a git repository with a commit,
 * e.g. an unpacked archive, a snapshot of them is committed to a new repository in the data directory.
 */
export function repositoryToRun(
  root: string,
  dataDirectory: string,
): { readonly path: string } | { readonly problem: string } {
  if (
    existsSync(path.join(root, ".git")) &&
    git(root, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).status === 0
  ) {
    const status = git(root, ["status", "--porcelain", "--untracked-files=no"]);
    if (status.stdout.trim() !== "") console.log("this checkout has uncommitted changes; HEAD is what runs");
    return { path: root };
  }
  console.log("not a git checkout with a commit: running a snapshot of the files");
  return snapshot(root, path.join(dataDirectory, "sample-repository.git"));
}

function snapshot(root: string, directory: string): { readonly path: string } | { readonly problem: string } {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = ["-c", "user.name=Airlock", "-c", "user.email=airlock@localhost", "-c", "commit.gpgSign=false"];
  const where = [`--git-dir=${directory}`, `--work-tree=${root}`];
  const steps = [
    ["init", "--quiet", "--bare", "--initial-branch=main", directory],
    // A .git without commits does not belong in the snapshot.
    [...where, "-c", "core.bare=false", "add", "--all", "--", ".", ":!.git"],
    [...where, "-c", "core.bare=false", ...identity, "commit", "--quiet", "--message=Snapshot of the files"],
  ];
  for (const args of steps) {
    const result = git(root, args);
    if (result.status !== 0)
      return { problem: `git could not make a repository of the files:\n${result.stderr || result.stdout}` };
  }
  return { path: directory };
}

function git(root: string, args: readonly string[]) {
  // The caller runs this checkout's code anyway, so git need not refuse it for belonging to another user.
  const config = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };
  // Drop GIT_DIR and similar variables, which hooks and tools set for their own repository.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"));
  const env = { ...Object.fromEntries(own), ...config };
  return spawnSync("git", args, { cwd: root, env, encoding: "utf8" });
}
