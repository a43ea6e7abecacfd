import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { runGit, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commitWorkingTree } from "./commit-working-tree.ts";

let stack: AsyncDisposableStack;
let root: string;
let home: string;

const gitIn = (directory: string, ...args: readonly string[]) => runGit(directory, args);
const git = (...args: readonly string[]) => gitIn(root, ...args);
const write = async (name: string, content: string | Buffer) => {
  await mkdir(path.dirname(path.join(root, name)), { recursive: true });
  await writeFile(path.join(root, name), content);
};
const env = () => ({ PATH: process.env.PATH, HOME: home });
const take = (limits?: Parameters<typeof commitWorkingTree>[2]) => commitWorkingTree(root, { env: env() }, limits);
/** `MODE PATH` of each file. */
const treeOf = async (commit: string) =>
  (await git("ls-tree", "-r", "-z", commit))
    .split("\0")
    .filter(Boolean)
    .map((entry) => entry.replace(/ \w+ [0-9a-f]+\t/, " "));

/** Everything that must stay as it is: branches, index, stash, files. */
async function state() {
  return {
    refs: await git("for-each-ref"),
    head: await readFile(path.join(root, ".git/HEAD"), "utf8"),
    index: (await readFile(path.join(root, ".git/index"))).toString("base64"),
    status: await git("--no-optional-locks", "status", "--porcelain", "--ignored"),
    reflog: await git("reflog"),
    top: (await readdir(path.join(root, ".git"))).sort(),
  };
}

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  root = path.join(stack.use(await temporaryDirectory()).path, "checkout");
  home = stack.use(await temporaryDirectory()).path;
  await mkdir(root);
  await git("init", "--quiet", "--initial-branch=main");
  await write("kept", "kept\n");
  await write("changed", "old\n");
  await write("gone", "gone\n");
  await write("dir/gone-too", "gone\n");
  await write("script", "#!/bin/sh\n");
  await symlink("kept", path.join(root, "link"));
  await write(".gitignore", ".env\n*.log\n");
  await git("add", "--all");
  await git("commit", "--quiet", "-m", "first");
});
afterEach(() => stack.disposeAsync());

describe("commitWorkingTree", () => {
  it("includes changes, deletions, modes, links and new files, ignores ignored files, and leaves the checkout unchanged", async () => {
    await write("changed", "new\n");
    await rm(path.join(root, "gone"));
    await rm(path.join(root, "dir"), { recursive: true });
    await chmod(path.join(root, "script"), 0o755);
    await rm(path.join(root, "link"));
    await symlink("/etc/nowhere", path.join(root, "link"));
    await symlink("changed", path.join(root, "new link"));
    await write("deep/er/new file", "x".repeat(5));
    await write("ümläut\n", "odd name\n");
    await write("binary", Buffer.from([0, 255, 10, 0]));
    await write("run me", "#!/bin/sh\n");
    await chmod(path.join(root, "run me"), 0o700);
    await write(".env", "PASSWORD=secret\n");
    await write("deep/.env", "PASSWORD=secret\n");
    await write("build.log", "noise\n");
    await write("staged", "in the index only\n");
    await git("add", "staged");
    await rm(path.join(root, "staged"));
    await write("staged twice", "one\n");
    await git("add", "staged twice");
    await write("staged twice", "two\n");
    const before = await state();

    const taken = await take();

    expect(await state()).toEqual(before);
    const { commit } = taken ?? expect.fail();
    expect(await treeOf(commit)).toEqual([
      "100644 .gitignore",
      "100644 binary",
      "100644 changed",
      "100644 deep/er/new file",
      "100644 kept",
      "120000 link",
      "120000 new link",
      "100755 run me",
      "100755 script",
      "100644 staged twice",
      "100644 ümläut\n",
    ]);
    expect(await git("show", `${commit}:changed`)).toBe("new");
    expect(await git("show", `${commit}:link`)).toBe("/etc/nowhere");
    expect(await git("show", `${commit}:staged twice`)).toBe("two");
    expect(await git("rev-parse", `${commit}^`)).toBe(await git("rev-parse", "HEAD"));
    expect(taken?.description).toMatch(/^\d+ changed, \d+ untracked \(/);
  });

  it("makes a commit that a mirror can fetch although no branch contains it", async () => {
    await write("new", "new\n");
    const { commit } = (await take()) ?? expect.fail();
    const mirror = path.join(home, "mirror.git");
    await gitIn(home, "init", "--bare", "--quiet", mirror);
    await gitIn(mirror, "fetch", "--quiet", `file://${root}`, `+${commit}:refs/airlock/commits/${commit}`);
    expect(await gitIn(mirror, "show", `${commit}:new`)).toBe("new");
  });

  it("finds nothing to commit in a clean tree, with or without ignored files", async () => {
    await write(".env", "PASSWORD=secret\n");
    expect(await take()).toBeUndefined();
  });

  it("makes the same commit from the same tree", async () => {
    await write("new", "1\n");
    const first = await take();
    expect(await take()).toEqual(first);
    await write("new", "2\n");
    expect((await take())?.commit).not.toBe(first?.commit);
  });

  it("includes a change of the same size made right after the index was written", async () => {
    for (let turn = 0; turn < 5; turn++) {
      await write("changed", `old${turn}\n`);
      await git("add", "changed");
      await write("changed", `new${turn}\n`);
      const { commit } = (await take()) ?? expect.fail();
      expect(await git("show", `${commit}:changed`)).toBe(`new${turn}`);
    }
  });

  it("respects the user's own ignore file", async () => {
    await mkdir(path.join(home, ".config/git"), { recursive: true });
    await writeFile(path.join(home, ".config/git/ignore"), "*.secret\n");
    await write("my.secret", "x");
    await write("new", "x");
    expect(await treeOf((await take())?.commit ?? "")).not.toContain("100644 my.secret");
  });

  it("includes the first files of a repository without a commit, and works in a linked worktree", async () => {
    root = path.join(home, "fresh");
    await mkdir(root);
    await git("init", "--quiet");
    await write("first", "x");
    expect(await treeOf((await take())?.commit ?? "")).toEqual(["100644 first"]);
    await git("add", "first");
    await git("commit", "--quiet", "-m", "first");
    await git("worktree", "add", "--quiet", "-b", "other", path.join(home, "linked"));
    root = path.join(home, "linked");
    await write("second", "x");
    expect(await treeOf((await take())?.commit ?? "")).toEqual(["100644 first", "100644 second"]);
  });

  it("ignores environment variables that point to another repository or index", async () => {
    await write("new", "x");
    const misled = { ...env(), GIT_DIR: "/nowhere", GIT_INDEX_FILE: path.join(home, "index"), GIT_WORK_TREE: home };
    const { commit } = (await commitWorkingTree(root, { env: misled })) ?? expect.fail();
    expect(await treeOf(commit)).toContain("100644 new");
    expect(await readdir(home)).toEqual([]);
  });

  it("starts no program that the checkout configures for git", async () => {
    const marker = path.join(home, "marker");
    for (const hook of ["post-index-change", "pre-commit", "reference-transaction"]) {
      await writeFile(path.join(root, ".git/hooks", hook), `#!/bin/sh\ntouch '${marker}'\n`, { mode: 0o755 });
    }
    await git("config", "core.fsmonitor", `touch '${marker}'; false`);
    await write("new", "x");
    await rm(marker, { force: true });
    expect(await take()).toBeDefined();
    expect(await readdir(home)).toEqual([]);
  });

  it("names the limit, the total size and the largest file when there is too much to commit", async () => {
    await write("small", "x".repeat(100));
    await write("large", "x".repeat(2000));
    const objects = await git("count-objects");
    await expect(take({ bytes: 2000, files: 10 })).rejects.toMatchObject({
      code: "working-tree",
      message: expect.stringMatching(
        /2\.\d KiB, and --dirty takes at most 2\.0 KiB; the largest is large with 2\.0 KiB/,
      ),
      hint: expect.stringContaining(".gitignore"),
    });
    await expect(take({ bytes: 5000, files: 1 })).rejects.toMatchObject({
      message: "2 files are not committed, and --dirty takes at most 1",
    });
    expect(await git("count-objects")).toBe(objects);
    expect(await take({ bytes: 2100, files: 2 })).toBeDefined();
  });

  it("refuses a changed submodule, a nested repository and a conflict, and names them", async () => {
    const inner = path.join(home, "inner");
    await mkdir(inner);
    await gitIn(inner, "init", "--quiet", "--initial-branch=main");
    await writeFile(path.join(inner, "file"), "x");
    await gitIn(inner, "add", "--all");
    await gitIn(inner, "commit", "--quiet", "-m", "inner");
    await git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "sub module");
    await git("commit", "--quiet", "-m", "submodule");
    await write("new", "x");
    expect(await take()).toBeDefined();
    await write("sub module/untracked", "x");
    await expect(take()).rejects.toMatchObject({
      code: "working-tree",
      message: "the submodule sub module has uncommitted changes, which --dirty cannot include",
    });
    await rm(path.join(root, "sub module/untracked"));
    await write("sub module/file", "changed");
    await expect(take()).rejects.toThrow("the submodule sub module has uncommitted changes");
    await gitIn(path.join(root, "sub module"), "checkout", "--quiet", ".");

    await git("clone", "--quiet", inner, "nested");
    await expect(take()).rejects.toThrow("nested is a nested git repository");
    await rm(path.join(root, "nested"), { recursive: true });

    await git("checkout", "--quiet", "-b", "side");
    await write("kept", "side\n");
    await git("commit", "--quiet", "--all", "-m", "side");
    await git("checkout", "--quiet", "main");
    await write("kept", "main\n");
    await git("commit", "--quiet", "--all", "-m", "main");
    await git("merge", "side").catch(() => {});
    await expect(take()).rejects.toThrow("kept has a merge conflict");
  });

  it("reports git's message where there is no checkout", async () => {
    await expect(commitWorkingTree(home, { env: env() })).rejects.toMatchObject({
      code: "working-tree",
      message: expect.stringContaining("not a git repository"),
    });
  });
});
