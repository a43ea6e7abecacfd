import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { noProxies } from "@airlock/proxy";
import { unmountBelow } from "@airlock/runtime/host-disk";
import { makeRepository, type RepositoryFile, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../../testing/scripted-instance.ts";
import { gitLimits, gitToken, WorkspaceBench } from "../../testing/workspace-bench.ts";
import { Git } from "../checkout/git.ts";
import type { SubmoduleOptions } from "./gather-submodules.ts";
import { readSubmodules } from "./read-submodules.ts";

const isRoot = process.getuid?.() === 0;

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;
let other: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  // Unmounts workspaces that a failed test created unexpectedly.
  stack.defer(async () => {
    await unmountBelow(dir, AbortSignal.timeout(20_000));
  });
  other = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "elsewhere") }));
});

afterEach(() => stack.disposeAsync());

const inWorkspace = (workspaceDir: string, ...args: string[]) =>
  execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd: workspaceDir, encoding: "utf8" });

type Link = { readonly name?: string; readonly path: string; readonly url: string; readonly commit: string };

/** Creates the files of a tree with submodules. */
function withSubmodules(...links: readonly Link[]): RepositoryFile[] {
  const sections = links.map(
    ({ name, path, url }) => `[submodule "${name ?? path}"]\n\tpath = ${path}\n\turl = ${url}\n`,
  );
  return [
    { path: ".gitmodules", content: sections.join("") },
    ...links.map(({ path, commit }): RepositoryFile => ({ path, content: commit, kind: "submodule" })),
  ];
}

const served = (name: string, files: readonly RepositoryFile[], where = "served") =>
  makeRepository(join(dir, where, name), [{ message: name, files }]);

const text = (path: string, content = `${path}\n`): RepositoryFile => ({ path, content });

const bench = (fetch: SubmoduleOptions["fetch"], more: object = {}) =>
  WorkspaceBench.create({
    dir: join(dir, "executor"),
    instance,
    overlays: isRoot,
    submodules: { fetch, allowedHosts: [new URL(other.url).host] },
    ...more,
  });

describe("submodules", () => {
  it("are checked out as git does it, including nested ones, if the administrator turns them on", async () => {
    const inner = await served("team/inner", [text("inner.txt")]);
    const lib = await served("team/lib", [
      text("lib.txt"),
      ...withSubmodules({ path: "deps/inner", url: "../inner.git", commit: inner.head }),
    ]);
    const app = await served("team/app", [
      text("app.txt"),
      ...withSubmodules({ name: "the lib", path: "third party/lib", url: "../lib", commit: lib.head }),
    ]);
    const request = { repository: "team/app", commit: app.head };
    const recursive = await bench("recursive");
    const direct = await bench("direct", { dir: join(dir, "direct") });
    const none = await bench("none", { dir: join(dir, "none") });

    await using all = await recursive.prepare(request);
    await using again = await recursive.prepare(request);
    await using own = await direct.prepare({ ...request, directory: "below/here" });
    await using without = await none.prepare(request);

    for (const workspace of [all, again]) {
      expect(await readFile(join(workspace.dir, "third party/lib/lib.txt"), "utf8")).toBe("lib.txt\n");
      expect(await readFile(join(workspace.dir, "third party/lib/deps/inner/inner.txt"), "utf8")).toBe("inner.txt\n");
      expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
      expect(inWorkspace(workspace.dir, "submodule", "status", "--recursive").split("\n")).toEqual([
        ` ${lib.head} third party/lib (${lib.head.slice(0, 7)})`,
        ` ${inner.head} third party/lib/deps/inner (${inner.head.slice(0, 7)})`,
        "",
      ]);
    }
    expect(inWorkspace(join(all.dir, "third party/lib"), "rev-parse", "HEAD").trim()).toBe(lib.head);
    expect(await readdir(join(own.dir, "below/here/third party/lib/deps/inner"))).toEqual([]);
    expect(existsSync(join(own.dir, "below/here/third party/lib/lib.txt"))).toBe(true);
    expect(await readdir(join(without.dir, "third party/lib"))).toEqual([]);
    const entry = recursive.sink.entries.find(({ key }) => key === "setup.git.submodules");
    expect(entry?.notes.join("\n")).toContain(`third party/lib/deps/inner: team/inner at ${inner.head}`);
  });

  it("are checked out at the commit that the job requests", async () => {
    const lib = await makeRepository(join(dir, "served/lib"), [
      { message: "1", files: [text("v", "1")] },
      { message: "2", files: [text("v", "2")] },
    ]);
    const link = (commit = "") => withSubmodules({ path: "lib", url: "../lib", commit });
    const app = await makeRepository(join(dir, "served/app"), [
      { message: "1", files: [text("a", "1"), ...link(lib.commits[0])] },
      { message: "2", files: [text("a", "2")] },
      { message: "3", files: [text("a", "3"), ...link(lib.commits[1])] },
    ]);
    const executor = await bench("direct");
    for (const [index, version] of ["1", "1", "2"].entries()) {
      await using workspace = await executor.prepare({ repository: "app", commit: app.commits[index] ?? "" });

      expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe(String(index + 1));
      expect(await readFile(join(workspace.dir, "lib/v"), "utf8")).toBe(version);
      expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
    }
  });

  it("are left out if a sparse checkout leaves out their path", async () => {
    const lib = await served("lib", [text("lib.txt")]);
    const app = await served("app", [
      text("a/1"),
      ...withSubmodules(
        { path: "a/lib", url: "../lib", commit: lib.head },
        { path: "b/lib", url: "../lib", commit: lib.head },
      ),
    ]);
    const executor = await bench("direct");

    await using workspace = await executor.prepare({
      repository: "app",
      commit: app.head,
      sparse: ["/a/", "/.gitmodules"],
    });

    expect(existsSync(join(workspace.dir, "a/lib/lib.txt"))).toBe(true);
    expect(existsSync(join(workspace.dir, "b"))).toBe(false);
  });

  it("of another host are fetched without credentials, and only if that host is allowed", async () => {
    const lib = await served("lib", [text("lib.txt")], "elsewhere");
    const link = { path: "lib", url: `${other.url}/.executors/git/lib`, commit: lib.head };
    const app = await served("app", withSubmodules(link));
    const request = { repository: "app", commit: app.head };
    const closed = await bench("direct", {
      dir: join(dir, "closed"),
      submodules: { fetch: "direct", allowedHosts: [] },
    });
    const open = await bench("direct");

    await expect(closed.prepare(request)).rejects.toMatchObject({
      reason: "policy",
      hint: expect.stringContaining("EXECUTOR_GIT_SUBMODULE_HOSTS"),
    });
    expect(other.gitRequests).toEqual([]);
    await using workspace = await open.prepare(request);

    expect(existsSync(join(workspace.dir, "lib/lib.txt"))).toBe(true);
    expect(other.gitRequests.length).toBeGreaterThan(0);
    expect(JSON.stringify(other.gitRequests)).not.toContain(gitToken);
  });

  it("that redirect to another address are not fetched", async () => {
    const lib = await served("lib", [text("lib.txt")], "elsewhere");
    const app = await served("app", withSubmodules({ path: "lib", url: "../lib", commit: lib.head }));
    const executor = await bench("direct");
    instance.intervene = ({ path }) => {
      instance.redirectGitTo = path.includes("/git/lib/") ? other.url : undefined;
      return undefined;
    };

    await expect(executor.prepare({ repository: "app", commit: app.head })).rejects.toThrow('submodule "lib"');

    expect(other.gitRequests).toEqual([]);
  });

  it("are not taken from the cache for a job that may not read them", async () => {
    const secret = await served("secret", [text("secret.txt")]);
    const app = await served("app", withSubmodules({ path: "lib", url: "../secret", commit: secret.head }));
    const executor = await bench("direct");
    await (await executor.prepare({ repository: "secret", commit: secret.head }))[Symbol.asyncDispose]();
    instance.intervene = ({ path }) => (path.includes("/git/secret/") ? { status: 403 } : undefined);

    await expect(executor.prepare({ repository: "app", commit: app.head })).rejects.toMatchObject({
      reason: "checkout-invalid",
      message: expect.stringMatching(/^submodule "lib": .*403/),
    });
  });

  it("are limited in depth, number and size", async () => {
    let below = await served("chain-0", [text("end")]);
    for (let level = 1; level <= 6; level += 1) {
      below = await served(
        `chain-${level}`,
        withSubmodules({ path: "next", url: `../chain-${level - 1}`, commit: below.head }),
      );
    }
    const big = await served("big", [text("big", "x".repeat(40_000))]);
    const many = (count: number) =>
      withSubmodules(...Array.from({ length: count }, (_, i) => ({ path: `m${i}`, url: "../big", commit: big.head })));
    const few = await served("few", many(3));
    const hundreds = await served("hundreds", many(101));
    const executor = await bench("recursive", { maximumBytes: 100_000 });

    await expect(executor.prepare({ repository: "chain-6", commit: below.head })).rejects.toThrow(
      "more than 5 levels deep",
    );
    await expect(executor.prepare({ repository: "hundreds", commit: hundreds.head })).rejects.toThrow("more than 100");
    await expect(executor.prepare({ repository: "few", commit: few.head })).rejects.toThrow("larger than");
  });

  it("never make jobs wait for each other forever", async () => {
    const one = await served("one", [text("1")]);
    const two = await served("two", withSubmodules({ path: "sub", url: "../one", commit: one.head }));
    const three = await makeRepository(join(dir, "served/one"), [
      { message: "one", files: [text("1")] },
      { message: "back", files: withSubmodules({ path: "sub", url: "../two", commit: two.head }), branch: "back" },
    ]);
    const executor = await bench("recursive");
    const requests = [
      { repository: "one", commit: three.commits[1] ?? "" },
      { repository: "two", commit: two.head },
    ];

    const workspaces = await Promise.all([...requests, ...requests].map((request) => executor.prepare(request)));

    for (const workspace of workspaces) {
      expect(existsSync(join(workspace.dir, "sub"))).toBe(true);
      await workspace[Symbol.asyncDispose]();
    }
  });

  it.runIf(isRoot)("belong to the same user as the workspace", async () => {
    const lib = await served("lib", [text("lib.txt")]);
    const app = await served("app", withSubmodules({ path: "lib", url: "../lib", commit: lib.head }));
    const executor = await bench("direct", { owner: { uid: 100_000, gid: 100_001 } });

    await using workspace = await executor.prepare({ repository: "app", commit: app.head });

    const others = execFileSync("find", [workspace.dir, "!", "-uid", "100000", "-o", "!", "-gid", "100001"]);
    expect(others.toString()).toBe("");
  });
});

describe("reading .gitmodules", () => {
  const someCommit = "1234567890123456789012345678901234567890";
  const read = async (files: readonly RepositoryFile[], maximum = 10) => {
    const { path, head } = await served("hostile", files);
    const git = new Git({
      path: process.env.PATH ?? "",
      homeDir: dir,
      certificateFile: null,
      proxies: noProxies,
      ...gitLimits,
    });
    return await readSubmodules({ git, gitDir: path, signal: AbortSignal.timeout(20_000) }, head, maximum);
  };
  const modules = (content: string): RepositoryFile => ({ path: ".gitmodules", content });
  const link = (path: string): RepositoryFile => ({ path, content: someCommit, kind: "submodule" });

  it.each<[string, readonly RepositoryFile[]]>([
    ["a name that leaves the directory", [modules('[submodule "../../x"]\npath = lib\nurl = ../lib\n'), link("lib")]],
    ["a path that ends in CR", [modules('[submodule "x"]\npath = "lib\r"\nurl = ../lib\n'), link("lib\r")]],
    ["a path that looks like an option", [modules('[submodule "x"]\npath = -lib\nurl = ../lib\n'), link("-lib")]],
    ["a path in .git", [modules('[submodule "x"]\npath = .GIT/x\nurl = ../lib\n'), link(".GIT/x")]],
    ["a line break in a path", [modules('[submodule "x"]\npath = "l\\nib"\nurl = ../lib\n'), link("l\nib")]],
    [
      "two submodules at the same path",
      [modules('[submodule "x"]\npath = lib\nurl = ../a\n[submodule "y"]\npath = lib\nurl = ../b\n'), link("lib")],
    ],
    [
      "a link in place of .gitmodules",
      [{ path: ".gitmodules", content: "/etc/gitconfig", kind: "symlink" }, link("lib")],
    ],
    ["a .gitmodules file that is far too large", [modules("#".repeat(300_000)), link("lib")]],
    ["more submodules than allowed", [modules("[x]"), ...Array.from({ length: 11 }, (_, i) => link(`m${i}`))]],
    ["a file that is not a configuration", [modules('[submodule "x'), link("lib")]],
  ])("refuses %s", async (_, files) => {
    await expect(read(files)).rejects.toMatchObject({ reason: "checkout-invalid" });
  });

  it("reads only the tree's own file at that path, and no file that an include names", async () => {
    const included = join(dir, "included");
    await writeFile(included, '[submodule "evil"]\npath = lib\nurl = https://evil.example/x\n');
    const content = [
      `[include]\npath = ${included}\n`,
      '[submodule "good"]\npath = lib\nurl = ../good\nurl = ../second\nupdate = !touch /tmp/airlock-owned\n',
      '[submodule "nowhere"]\npath = missing\nurl = ../x\n[submodule "file"]\npath = file\nurl = ../x\n',
    ].join("");

    expect(await read([modules(content), link("lib"), link("unnamed"), text("file")])).toEqual([
      { name: "good", path: "lib", url: "../good", commit: someCommit },
    ]);
  });
});
