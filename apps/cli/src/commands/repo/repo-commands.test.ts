import path from "node:path";
import { describeWithEngines, makeRepository, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RealInstance, startRealInstance } from "../../testing/real-instance.ts";

describeWithEngines(["postgres"], "`repo refresh` and `repo remove`", () => {
  let target: RealInstance;
  let directory: TemporaryDirectory;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    target = await startRealInstance();
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  /** Adds a repository and returns the hash of its commit. */
  async function add(name: string): Promise<string> {
    const source = path.join(directory.path, name);
    const { head } = await makeRepository(source, [{ message: "one", files: [{ path: "a", content: name }] }]);
    expect(await target.airlock(["repo", "add", source, "--name", name])).toMatchObject({ code: 0 });
    return head;
  }

  it("fetch a repository now and show its commit", async () => {
    const head = await add("fetched");
    const { code, stdout } = await target.airlock(["repo", "refresh", "fetched"]);
    expect([code, stdout]).toEqual([0, `repository fetched fetched; HEAD is ${head.slice(0, 12)}\n`]);
    const { stdout: json } = await target.airlock(["repo", "refresh", "fetched", "--json"]);
    expect(JSON.parse(json)).toMatchObject({ name: "fetched", state: "ready", head });
  });

  it("remove a repository, so that jobs can't name it any more", async () => {
    await add("removed");
    expect(await target.airlock(["repo", "remove", "removed"])).toMatchObject({
      code: 0,
      stdout: "repository removed removed\n",
    });
    expect((await target.airlock(["repo", "list", "--json"])).stdout).not.toContain('"removed"');
    for (const verb of ["remove", "refresh"]) {
      const { code, stderr } = await target.airlock(["repo", verb, "removed"]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: .*"removed".*\n/);
    }
  });

  it("ask on a terminal before a repository is removed", async () => {
    await add("asked");
    const remove = ["repo", "remove", "asked"];
    const refused = await target.airlock(remove, { isTerminal: true, stdin: "n\n" });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("Remove the repository asked? [y/N]") });
    expect((await target.airlock(["repo", "list", "--json"])).stdout).toContain('"asked"');
    const { stdout } = await target.airlock([...remove, "--yes", "--json"], { isTerminal: true });
    expect(JSON.parse(stdout)).toEqual({ name: "asked", removed: true });
  });
});
