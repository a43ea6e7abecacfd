import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { hostileRepositoryNames, makeHostileRepository } from "./hostile-repositories.ts";
import { makeRepository } from "./make-repository.ts";
import { runGit } from "./run-git.ts";
import { sharedRepository } from "./shared-repository.ts";

describe("sharedRepository", () => {
  it("contains real code with history, annotated tags and a second branch", async () => {
    const [repository, again] = await Promise.all([sharedRepository(), sharedRepository()]);
    expect(again).toEqual(repository);
    const git = (...args: string[]) => runGit(repository.path, args);
    expect(await git("rev-list", "--count", "main")).toBe("4");
    expect(repository.commits).toHaveLength(5);
    expect(await git("rev-parse", "main")).toBe(repository.head);
    expect(await git("cat-file", "-t", "v1.0.0")).toBe("tag");
    expect(await git("rev-list", "--count", "main..next")).toBe("1");
    expect((await git("ls-tree", "-r", "--name-only", "main")).split("\n").length).toBeGreaterThan(200);
    await git("fsck", "--strict");
  });
});

describe("makeRepository", () => {
  it("keeps file names byte for byte, modes and submodule commits", async () => {
    await using directory = await temporaryDirectory();
    const { path } = await makeRepository(join(directory.path, "r.git"), [
      {
        message: "All kinds",
        files: [
          { path: 'a\n"b\\', content: "x" },
          { path: Buffer.from([0xff]), content: "y", kind: "executable" },
          { path: "link", content: "/etc/passwd", kind: "symlink" },
          { path: "sub", content: "1".repeat(40), kind: "submodule" },
        ],
      },
    ]);
    const listed = await runGit(path, ["-c", "core.quotePath=true", "ls-tree", "-r", "main"]);
    expect(listed.split("\n").map((line) => line.replace(/ \w+ \w+\t/, " "))).toEqual([
      '100644 "a\\n\\"b\\\\"',
      "120000 link",
      "160000 sub",
      '100755 "\\377"',
    ]);
  });

  it.each(hostileRepositoryNames)("makes the hostile repository %s", async (name) => {
    await using directory = await temporaryDirectory();
    const { path, head } = await makeHostileRepository(name, join(directory.path, "r.git"));
    expect(await runGit(path, ["rev-parse", "HEAD"])).toBe(head);
  });
});
