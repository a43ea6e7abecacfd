import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeRepository, temporaryDirectory } from "@airlock/test-kit";
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

async function diffOf({ sandbox, commit }: PreparedWorkspace): Promise<string> {
  const { file } = await workspaceDiff({
    git: new Git({ path: process.env.PATH ?? "", homeDir: dir, certificateFile: null, ...gitLimits }),
    sandbox,
    commit,
    scratchDir: join(dir, `scratch-${Math.random()}`),
    limits: { maximumBytes: 1e6, maximumEntries: 1000 },
    signal: AbortSignal.timeout(20_000),
  });
  return file === null ? "" : await readFile(file, "utf8");
}

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
