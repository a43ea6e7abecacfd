import { execFile } from "node:child_process";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { noProxies } from "@airlock/proxy";
import { makeRepository, type RepositoryFile, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { gitLimits, type PreparedWorkspace, WorkspaceBench } from "../testing/workspace-bench.ts";
import { Git } from "../workspace/checkout/git.ts";
import { workspaceDiff } from "./workspace-diff.ts";

const run = promisify(execFile);

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(() => stack.disposeAsync());

async function diffWithProblems({ sandbox, commit }: PreparedWorkspace) {
  const { file, problems } = await workspaceDiff({
    git: new Git({
      path: process.env.PATH ?? "",
      homeDir: dir,
      certificateFile: null,
      proxies: noProxies,
      ...gitLimits,
    }),
    sandbox,
    commit,
    scratchDir: join(dir, `scratch-${Math.random()}`),
    limits: { maximumBytes: 1e6, maximumEntries: 5000, maximumMs: 50_000 },
    signal: AbortSignal.timeout(50_000),
  });
  return { patch: file === null ? "" : await readFile(file, "utf8"), problems };
}

async function diffOf(workspace: PreparedWorkspace): Promise<string> {
  return (await diffWithProblems(workspace)).patch;
}

const pathsIn = (patch: string) => [...patch.matchAll(/^diff --git a\/(\S+) /gm)].map(([, path]) => path);

async function prepare(files: readonly RepositoryFile[] = []): Promise<PreparedWorkspace> {
  const { head } = await makeRepository(join(dir, "served/app"), [
    { message: "1", files: [{ path: "a", content: "a\n" }, ...files] },
  ]);
  const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false });
  stack.defer(() => executor.settled());
  return await executor.prepare({ repository: "app", commit: head });
}

/** Git's own matching takes time that doubles with each star. */
const slowPattern = `${"*a".repeat(40)}b`;
const slowName = (index: number) => `${"a".repeat(240)}${String(index).padStart(4, "0")}`;

describe("a diff of a workspace with slow patterns", () => {
  it("matches ignore rules in time that grows only with their length", async () => {
    await using workspace = await prepare();
    const rules = Array.from({ length: 100 }, (_, index) => `${slowPattern}${index}\n`);
    await writeFile(join(workspace.dir, ".gitignore"), rules.join(""));
    for (let index = 0; index < 500; index += 1) await writeFile(join(workspace.dir, slowName(index)), "");
    const patch = await diffOf(workspace);
    expect(patch.match(/^diff --git /gm)).toHaveLength(501);
  }, 60_000);

  it("matches attributes in time that grows only with their length", async () => {
    const rules = Array.from({ length: 100 }, (_, index) => `${slowPattern}${index} text eol=crlf\n`).join("");
    await using workspace = await prepare([{ path: ".gitattributes", content: rules }]);
    await writeFile(join(workspace.dir, ".gitattributes"), `${rules}*b -text\n`);
    for (let index = 0; index < 500; index += 1) await writeFile(join(workspace.dir, slowName(index)), "");
    expect(pathsIn(await diffOf(workspace))).toHaveLength(501);
  }, 60_000);
});

describe("a diff of a workspace with attributes", () => {
  it("converts files by the commit's attributes, not by a step's", async () => {
    await using workspace = await prepare([
      {
        path: ".gitattributes",
        content: "*.bat text eol=crlf\n*.id ident\n* text=auto\n*.u16 working-tree-encoding=UTF-16LE\n",
      },
      { path: "below/.gitattributes", content: "*.bat -text\n" },
      { path: "windows.bat", content: "a\nb\n" },
      { path: "below/raw.bat", content: "a\r\n" },
      { path: "version.id", content: "$Id$\n" },
      { path: "text.u16", content: "one\n" },
    ]);
    expect(await readFile(join(workspace.dir, "windows.bat"), "utf8")).toBe("a\r\nb\r\n");
    expect(await diffOf(workspace)).toBe("");

    await writeFile(join(workspace.dir, ".gitattributes"), "* text eol=crlf working-tree-encoding=UTF-32\n");
    await writeFile(join(workspace.dir, "windows.bat"), "a\r\nb\r\nc\r\n");
    await writeFile(join(workspace.dir, "below/raw.bat"), "a\r\nb\r\n");
    await writeFile(join(workspace.dir, "new.txt"), "x\r\n");
    await writeFile(join(workspace.dir, "text.u16"), Buffer.from("one\ntwo\n", "utf16le"));
    const patch = await diffOf(workspace);
    expect(pathsIn(patch)).toEqual([".gitattributes", "below/raw.bat", "new.txt", "text.u16", "windows.bat"]);
    expect(patch).toContain(" a\n b\n+c\n");
    expect(patch).toContain(" a\r\n+b\r\n");
    expect(patch).toContain("+x\n");
    expect(patch).toContain(" one\n+two\n");
  });

  it("keeps the line endings of a file that the commit stores with CRLF, as git does with text=auto", async () => {
    const crlf = [{ path: "old.txt", content: "a\r\n" }];
    const { head } = await makeRepository(join(dir, "served/app"), [
      { message: "1", files: crlf },
      { message: "2", files: [...crlf, { path: ".gitattributes", content: "* text=auto\n" }] },
    ]);
    const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false });
    await using workspace = await executor.prepare({ repository: "app", commit: head });
    await writeFile(join(workspace.dir, "old.txt"), "a\r\nb\r\n");
    expect(await diffOf(workspace)).toContain(" a\r\n+b\r\n");
  });

  it("leaves out a file that cannot be converted, and keeps the others", async () => {
    await using workspace = await prepare([
      {
        path: ".gitattributes",
        content:
          "*.u16 working-tree-encoding=UTF-16\n*.odd working-tree-encoding=NO-SUCH\n*.set working-tree-encoding\n*.off -working-tree-encoding\n",
      },
      { path: "text.u16", content: "one\n" },
    ]);
    await writeFile(join(workspace.dir, "text.u16"), Buffer.from([0xff, 0xfe, 0x00, 0xd8]));
    await writeFile(join(workspace.dir, "good.u16"), Buffer.from("\ufefftwo\n", "utf16le"));
    for (const name of ["new.odd", "new.set", "new.off"]) await writeFile(join(workspace.dir, name), "x\n");
    await writeFile(join(workspace.dir, "a"), "b\n");
    const { patch, problems } = await diffWithProblems(workspace);
    expect(pathsIn(patch)).toEqual(["a", "good.u16", "new.off"]);
    expect([...problems].sort()).toEqual([
      '"new.odd": cannot be converted from "NO-SUCH", its working-tree-encoding: left out',
      '"new.set": cannot be converted, its working-tree-encoding has no value: left out',
      '"text.u16": cannot be converted from "UTF-16", its working-tree-encoding: left out',
    ]);
  });

  it("fails as the job's own fault if many files cannot be converted", async () => {
    await using workspace = await prepare([
      { path: ".gitattributes", content: "*.u16 working-tree-encoding=UTF-16\n" },
    ]);
    for (let index = 0; index < 30; index += 1) await writeFile(join(workspace.dir, `${index}.u16`), "odd");
    await expect(diffOf(workspace)).rejects.toMatchObject({ code: "diff-failed" });
  });
});

describe("a diff of a workspace with unusual trees", () => {
  it("leaves out directories that are too deep, and keeps the rest", async () => {
    const deep = Array.from({ length: 1005 }, () => "d").join("/");
    await using workspace = await prepare([{ path: `${deep}/tracked`, content: "t\n" }]);
    await writeFile(join(workspace.dir, "a"), "b\n");
    await writeFile(join(workspace.dir, deep, "new"), "n\n");
    await writeFile(join(workspace.dir, "d/d/new"), "n\n");
    const { patch, problems } = await diffWithProblems(workspace);
    expect(pathsIn(patch)).toEqual(["a", "d/d/new"]);
    expect(problems).toEqual([
      expect.stringMatching(/^"d\/d.*": directories are nested more than 1000 levels deep: left out$/),
    ]);
  });

  it("includes a path that is longer than the kernel accepts in one call", async () => {
    await using workspace = await prepare();
    const parts = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(200, "x"));
    const make =
      'import os,sys\nos.chdir(sys.argv[1])\nfor p in sys.argv[2:]:\n os.mkdir(p); os.chdir(p)\nopen("f","w").write("x\\n")';
    await run("python3", ["-c", make, workspace.dir, ...parts]);
    expect(pathsIn(await diffOf(workspace))).toEqual([`${parts.join("/")}/f`]);
  });

  it("leaves out names that some systems treat as .git", async () => {
    await using workspace = await prepare();
    for (const name of ["git~1", ".git ", ".git.", ".g\u200cit", ".git::$INDEX_ALLOCATION"]) {
      await mkdir(join(workspace.dir, name));
      await writeFile(join(workspace.dir, name, "config"), "x\n");
    }
    await symlink("/etc/passwd", join(workspace.dir, ".gitmodules"));
    await writeFile(join(workspace.dir, "a"), "b\n");
    const { patch, problems } = await diffWithProblems(workspace);
    expect(pathsIn(patch)).toEqual(["a"]);
    expect(problems).toHaveLength(6);
  });
});

describe("the diff of a sparse checkout", () => {
  const files = (content: string) => [
    { path: "kept/a", content },
    { path: "kept/b", content: "b\n" },
    { path: "left/out", content: "out\n" },
    { path: "left/made", content: "made\n" },
  ];

  const copies = { overlays: false, handsOutLayers: false };
  const layers = { overlays: true, handsOutLayers: true };
  const cases = [
    { from: "the same commit", begin: 1, jobs: 1, kind: copies },
    { from: "another commit", begin: 0, jobs: 1, kind: copies },
    { from: "a new layer", begin: 0, jobs: 1, kind: layers },
    { from: "an existing layer", begin: 0, jobs: 2, kind: layers },
  ];
  it.each(cases.filter(({ kind }) => !kind.overlays || process.getuid?.() === 0))(
    "contains the changes, but not the files that were left out, from $from",
    async ({ begin, jobs, kind }) => {
      const { commits } = await makeRepository(join(dir, "served/app"), [
        { message: "1", files: files("1\n") },
        { message: "2", files: [...files("2\n"), { path: "left/later", content: "x\n" }] },
      ]);
      const [, second = ""] = commits;
      const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, ...kind });
      const request = { repository: "app", sparse: ["/kept/"] };
      const prepared = async (commit: string) =>
        await (await executor.prepare({ ...request, commit }))[Symbol.asyncDispose]();
      await prepared(commits[begin] ?? "");
      for (let job = 1; job < jobs; job += 1) await prepared(second);
      await using workspace = await executor.prepare({ ...request, commit: second });

      expect(workspace.commit.base.commit).toBe(commits[begin]);
      expect(await diffOf(workspace)).toBe("");
      await writeFile(join(workspace.dir, "kept/a"), "changed\n");
      await rm(join(workspace.dir, "kept/b"));
      await mkdir(join(workspace.dir, "left"));
      await writeFile(join(workspace.dir, "left/made"), "by a step\n");
      await writeFile(join(workspace.dir, ".git/info/sparse-checkout"), "/*\n");
      const patch = await diffOf(workspace);

      const headers = [...patch.matchAll(/^diff --git a\/(\S+) .*\n(deleted)?/gm)].map(([, path, how]) => [path, how]);
      expect(headers).toEqual([
        ["kept/a", undefined],
        ["kept/b", "deleted"],
        ["left/made", undefined],
      ]);
    },
  );
});

it.runIf(process.getuid?.() === 0)(
  "the diff of a workspace above a chain of layers contains only its changes",
  async () => {
    const { commits } = await makeRepository(
      join(dir, "served/app"),
      ["1", "2", "3", "4"].map((number) => ({
        message: number,
        files: [
          { path: "each", content: `${number}\n` },
          { path: `in-${number}`, content: `${number}\n` },
        ],
      })),
    );
    const executor = await WorkspaceBench.create({
      dir: join(dir, "executor"),
      instance,
      overlays: true,
      handsOutLayers: true,
    });
    for (const commit of commits) await (await executor.prepare({ repository: "app", commit }))[Symbol.asyncDispose]();
    // A mirror without the commits: the diff has to fetch the one of the job.
    const restarted = await WorkspaceBench.create({
      dir: join(dir, "executor"),
      instance,
      overlays: true,
      handsOutLayers: true,
      cacheBytes: 0,
    });
    await using workspace = await restarted.prepare({ repository: "app", commit: commits[2] ?? "" });
    await restarted.repositories.evict(AbortSignal.timeout(10_000));

    expect(workspace.commit.base.commit).toBe(commits[0]);
    expect(await diffOf(workspace)).toBe("");
    await writeFile(join(workspace.dir, "each"), "changed\n");
    await rm(join(workspace.dir, "in-2"));
    await writeFile(join(workspace.dir, "in-4"), "by a step\n");
    const patch = await diffOf(workspace);

    expect(pathsIn(patch)).toEqual(["each", "in-2", "in-4"]);
    expect(patch).toContain("-3\n+changed\n");
  },
);
