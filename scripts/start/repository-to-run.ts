import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";

/**
 * What the sample job runs on: this checkout at its HEAD. Files that are no git repository, such as an unpacked archive,
 * or one without a commit, become a repository of their own beside the data.
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
  console.log("this is no git checkout with a commit; a snapshot of the files is what runs");
  return snapshot(root, path.join(dataDirectory, "sample-repository.git"));
}

function snapshot(root: string, directory: string): { readonly path: string } | { readonly problem: string } {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = ["-c", "user.name=Airlock", "-c", "user.email=airlock@localhost", "-c", "commit.gpgSign=false"];
  const where = [`--git-dir=${directory}`, `--work-tree=${root}`];
  const steps = [
    ["init", "--quiet", "--bare", "--initial-branch=main", directory],
    // A .git without commits is no part of the files.
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
  // Whoever starts this runs its code anyway: that the files may belong to another user is no reason to refuse.
  const config = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };
  // Without GIT_DIR and the like, which hooks and tools set for their own repository.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"));
  const env = { ...Object.fromEntries(own), ...config };
  return spawnSync("git", args, { cwd: root, env, encoding: "utf8" });
}
