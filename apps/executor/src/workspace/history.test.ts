import { execFileSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { makeRepository, type RepositoryCommit, runGit, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { WorkspaceBench } from "../testing/workspace-bench.ts";

describe.each(
  [
    { overlays: true, handsOutLayers: false },
    { overlays: true, handsOutLayers: true },
    { overlays: false, handsOutLayers: false },
  ].filter(({ overlays }) => !overlays || process.getuid?.() === 0),
)("history and tags of a workspace (overlays: $overlays, from layers: $handsOutLayers)", (kind) => {
  let stack: AsyncDisposableStack;
  let source: string;
  let executor: WorkspaceBench;
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    const dir = stack.use(await temporaryDirectory()).path;
    const repositoriesDir = join(dir, "served");
    const instance = stack.use(await ScriptedInstance.start({ repositoriesDir }));
    source = join(repositoriesDir, "team/app");
    executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, ...kind });
  });
  afterEach(async () => await stack.disposeAsync());

  const git = (workspace: { readonly dir: string }, ...args: string[]) =>
    execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd: workspace.dir, encoding: "utf8" }).trim();
  const commits = (count: number): RepositoryCommit[] =>
    Array.from({ length: count }, (_, index) => ({
      message: `${index + 1}`,
      files: [{ path: "file", content: `${index + 1}` }],
      ...(index === 1 ? { tag: "v1" } : {}),
    }));
  const subjects = (workspace: { readonly dir: string }) => git(workspace, "log", "--format=%s").split("\n");

  it("have the exact depth, even if another job's depth or commit was fetched in between", async () => {
    const { commits: ids } = await makeRepository(source, commits(8));
    const [, , , , , , seventh = "", eighth = ""] = ids;
    for (const [commit, depth, expected] of [
      [eighth, 3, ["8", "7", "6"]],
      [seventh, 5, ["7", "6", "5", "4", "3"]],
      [eighth, 2, ["8", "7"]],
      [seventh, 5, ["7", "6", "5", "4", "3"]],
      [eighth, 6, ["8", "7", "6", "5", "4", "3"]],
      [eighth, 1, ["8"]],
      [eighth, 100, ["8", "7", "6", "5", "4", "3", "2", "1"]],
      [seventh, null, ["7", "6", "5", "4", "3", "2", "1"]],
      [eighth, null, ["8", "7", "6", "5", "4", "3", "2", "1"]],
    ] as const) {
      await using workspace = await executor.prepare({ repository: "team/app", commit, depth });
      expect(subjects(workspace), `depth ${depth}`).toEqual(expected);
      expect(git(workspace, "tag")).toBe("");
      expect(git(workspace, "status", "--porcelain")).toBe("");
      expect(git(workspace, "fsck", "--no-dangling", "--connectivity-only")).toBe("");
    }
  });

  it("let `git describe` work", async () => {
    const { head } = await makeRepository(source, commits(5));
    await runGit(source, ["tag", "light", "main~1"]);
    for (const [depth, described, tags] of [
      [null, /^light-1-g/, "light\nv1"],
      [5, /^light-1-g/, "light\nv1"],
      // v1 is outside of the history.
      [2, /^light-1-g/, "light"],
    ] as const) {
      await using workspace = await executor.prepare({
        repository: "team/app",
        commit: head,
        depth,
        tags: "reachable",
      });
      expect(git(workspace, "describe", "--tags"), `depth ${depth}`).toMatch(described);
      expect(git(workspace, "tag"), `depth ${depth}`).toBe(tags);
      expect(subjects(workspace)).toHaveLength(depth ?? 5);
    }
    await using alone = await executor.prepare({ repository: "team/app", commit: head, tags: "reachable" });
    expect(git(alone, "tag")).toBe("");
    expect(subjects(alone)).toEqual(["5"]);
  });

  it("include no tags of other branches, and include moved or deleted tags in their current state", async () => {
    const { head, commits: ids } = await makeRepository(source, [
      ...commits(3),
      { message: "other", branch: "other", files: [], tag: "elsewhere" },
    ]);
    const prepare = (depth: number | null) =>
      executor.prepare({ repository: "team/app", commit: ids[2] ?? "", depth, tags: "reachable" });
    for (const depth of [3, null]) {
      await runGit(source, ["tag", "-f", "-a", "-m", "One", "v1", ids[1] ?? ""]);
      await using before = await prepare(depth);
      expect(git(before, "for-each-ref", "--format=%(refname) %(*objectname)", "refs/tags")).toBe(
        `refs/tags/v1 ${ids[1]}`,
      );
      await runGit(source, ["tag", "-f", "-a", "-m", "Moved", "v1", head]);
      await using moved = await prepare(depth);
      expect(git(moved, "rev-parse", "v1^{commit}")).toBe(head);
      // This name conflicts with the previous tag's name.
      await runGit(source, ["tag", "-d", "v1"]);
      await runGit(source, ["tag", "v1/rc", head]);
      await using renamed = await prepare(depth);
      expect(git(renamed, "tag")).toBe("v1/rc");
      await runGit(source, ["tag", "-d", "v1/rc"]);
      await using gone = await prepare(depth);
      expect(git(gone, "tag")).toBe("");
    }
  });

  it("tolerate a tag of a tag, and tags of trees and blobs", async () => {
    const { head } = await makeRepository(source, commits(3));
    await runGit(source, ["tag", "-a", "-m", "Outer", "outer", "v1"]);
    await runGit(source, ["tag", "tree", "main^{tree}"]);
    await runGit(source, ["tag", "-a", "-m", "Blob", "blob", "main:file"]);
    await using workspace = await executor.prepare({
      repository: "team/app",
      commit: head,
      depth: null,
      tags: "reachable",
    });
    expect(git(workspace, "tag")).toBe("outer\nv1");
    expect(git(workspace, "fsck", "--no-dangling")).toBe("");
  });

  it("cause an error with the next step if they take too long or too much space", async () => {
    const { head } = await makeRepository(
      source,
      Array.from({ length: 60 }, (_, index) => ({
        message: `${index}`,
        files: [{ path: "noise", content: Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))) }],
      })),
    );
    const small = await WorkspaceBench.create({
      dir: join(source, "../../../small"),
      instance: stack.use(await ScriptedInstance.start({ repositoriesDir: join(source, "../..") })),
      ...kind,
      maximumBytes: 1_000_000,
    });
    await using workspace = await small.prepare({ repository: "team/app", commit: head });
    expect(await readdir(workspace.dir)).toContain("noise");
    for (const depth of [50, null]) {
      await expect(small.prepare({ repository: "team/app", commit: head, depth })).rejects.toMatchObject({
        code: "checkout-limit",
        reason: "checkout-invalid",
        hint: expect.stringContaining("checkout.depth"),
      });
    }
  });
});
