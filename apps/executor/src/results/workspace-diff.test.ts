import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeRepository, type RepositoryFile, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { gitLimits, type PreparedWorkspace, WorkspaceBench } from "../testing/workspace-bench.ts";
import { Git } from "../workspace/checkout/git.ts";
import { workspaceDiff } from "./workspace-diff.ts";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(() => stack.disposeAsync());

async function diffOf({ sandbox, commit }: PreparedWorkspace, maximumMs = 20_000): Promise<string> {
  const { file } = await workspaceDiff({
    git: new Git({ path: process.env.PATH ?? "", homeDir: dir, certificateFile: null, ...gitLimits }),
    sandbox,
    commit,
    scratchDir: join(dir, `scratch-${Math.random()}`),
    limits: { maximumBytes: 1e6, maximumEntries: 5000, maximumMs },
    signal: AbortSignal.timeout(20_000),
  });
  return file === null ? "" : await readFile(file, "utf8");
}

/** Git's own matching takes time that doubles with each star. */
const slowPattern = `${"*a".repeat(40)}b`;
const slowName = (index: number) => `${"a".repeat(240)}${String(index).padStart(4, "0")}`;

describe("a diff of a workspace with rules that are slow to match", () => {
  const prepare = async (files: readonly RepositoryFile[] = []) => {
    const { head } = await makeRepository(join(dir, "served/app"), [
      { message: "1", files: [{ path: "a", content: "a\n" }, ...files] },
    ]);
    const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false });
    return await executor.prepare({ repository: "app", commit: head });
  };

  it("ignore rules are matched in time that grows with their length only", async () => {
    await using workspace = await prepare();
    const rules = Array.from({ length: 200 }, (_, index) => `${slowPattern}${index}\n`);
    await writeFile(join(workspace.dir, ".gitignore"), rules.join(""));
    for (let index = 0; index < 2000; index += 1) await writeFile(join(workspace.dir, slowName(index)), "");
    const patch = await diffOf(workspace);
    expect(patch.match(/^diff --git /gm)).toHaveLength(2001);
  }, 60_000);

  it("attributes that cannot be matched in time are the job's fault", async () => {
    await using workspace = await prepare();
    await writeFile(join(workspace.dir, ".gitattributes"), `${slowPattern} text\n`);
    await writeFile(join(workspace.dir, slowName(1)), "new\n");
    await expect(diffOf(workspace, 2000)).rejects.toMatchObject({ code: "diff-too-slow" });
  });
});

describe("the diff of a sparse checkout", () => {
  const files = (content: string) => [
    { path: "kept/a", content },
    { path: "kept/b", content: "b\n" },
    { path: "left/out", content: "out\n" },
    { path: "left/made", content: "made\n" },
  ];

  it.each(["the same commit", "another commit"])(
    "has what changed and not what was left out, from %s",
    async (from) => {
      const { commits } = await makeRepository(join(dir, "served/app"), [
        { message: "1", files: files("1\n") },
        { message: "2", files: [...files("2\n"), { path: "left/later", content: "x\n" }] },
      ]);
      const [first = "", second = ""] = commits;
      const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false });
      const request = { repository: "app", sparse: ["/kept/"] };
      const begin = from === "the same commit" ? second : first;
      await (await executor.prepare({ ...request, commit: begin }))[Symbol.asyncDispose]();
      await using workspace = await executor.prepare({ ...request, commit: second });

      expect(workspace.commit.base.commit).toBe(begin);
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
