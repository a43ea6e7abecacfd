import { join } from "node:path";
import { toleratedFsckClasses } from "@airlock/git";
import { makeFlawedRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { WorkspaceBench } from "../testing/workspace-bench.ts";

describe("a repository with the flaw", () => {
  let stack: AsyncDisposableStack;
  let dir: string;
  let instance: ScriptedInstance;
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  });
  afterEach(async () => await stack.disposeAsync());

  const prepare = async (flaw: Parameters<typeof makeFlawedRepository>[0]) => {
    const { head } = await makeFlawedRepository(flaw, join(dir, "served", "team/app"));
    const executor = await WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false });
    return await executor.prepare({ repository: "team/app", commit: head, tags: "all" });
  };

  it.each(toleratedFsckClasses)("%s is checked out", async (flaw) => {
    await using workspace = await prepare(flaw);
    expect(workspace.commit?.request.repository).toBe("team/app");
  });

  it("hasDotgit is refused as the repository's own fault", async () => {
    await expect(prepare("hasDotgit")).rejects.toMatchObject({
      reason: "checkout-invalid",
      message: expect.stringContaining("hasDotgit"),
    });
  });
});
