import { rm } from "node:fs/promises";
import path from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  runGit,
  type TemporaryDirectory,
  type TestDatabase,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseKeys } from "../sealing/keyring.ts";
import { Sealer } from "../sealing/sealer.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { RepositoryService } from "./repository-service.ts";

describeWithEngines(["postgres"], "revisions of a repository", () => {
  let database: TestDatabase;
  let directory: TemporaryDirectory;
  let db: Database;
  let service: RepositoryService;
  let count = 0;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    service = await RepositoryService.open({
      db,
      sealer: new Sealer(parseKeys("a".repeat(64), "the test")),
      directory: path.join(directory.path, "mirrors"),
      executablePath: "/usr/local/bin:/usr/bin:/bin",
      allowLocal: true,
      onError: () => {},
    });
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  const commit = async (name: string, revision: string) => (await service.resolve(name, revision)).commit;

  /** Adds a repository with two commits to the service. */
  async function mirrored(name: string, options: { objectFormat?: "sha1" | "sha256" } = {}) {
    const source = path.join(directory.path, `source-${++count}`);
    const made = await makeRepository(
      source,
      [
        { message: "One", files: [{ path: "v", content: "one" }] },
        { message: "Two", files: [{ path: "v", content: "two" }] },
      ],
      options,
    );
    const [one = "", two = ""] = made.commits;
    await service.add({ name, url: source });
    return { source, one, two };
  }

  it.each([
    ["lightweight", []],
    ["annotated", ["-a", "-m", "Nightly"]],
  ])("a moved %s tag resolves to its new commit", async (kind, options) => {
    const { source, one, two } = await mirrored(`moved-${kind}`);
    await runGit(source, ["tag", ...options, "nightly", one]);
    expect(await commit(`moved-${kind}`, "nightly")).toBe(one);
    await runGit(source, ["tag", "-f", ...options, "nightly", two]);
    expect(await commit(`moved-${kind}`, "nightly")).toBe(two);
    expect(await commit(`moved-${kind}`, "refs/tags/nightly")).toBe(two);
  });

  it("a deleted tag is unknown, and a recreated tag resolves to its new commit", async () => {
    const { source, one, two } = await mirrored("remade");
    await runGit(source, ["tag", "nightly", one]);
    expect(await commit("remade", "nightly")).toBe(one);
    await runGit(source, ["tag", "-d", "nightly"]);
    await expect(service.resolve("remade", "nightly")).rejects.toMatchObject({ code: "unknown-revision" });
    await runGit(source, ["tag", "nightly", two]);
    expect(await commit("remade", "nightly")).toBe(two);
  });

  it("a tag that looks like the start of a commit id is found, even if the source got it later", async () => {
    const { source, one, two } = await mirrored("abbreviated");
    const short = one.slice(0, 8);
    expect(await commit("abbreviated", short)).toBe(one);
    await runGit(source, ["tag", short, two]);
    expect(await commit("abbreviated", short)).toBe(two);
  });

  it("expressions based on a moved tag follow it", async () => {
    const { source, one, two } = await mirrored("expressions");
    await runGit(source, ["tag", "nightly", one]);
    expect(await commit("expressions", "nightly^{commit}")).toBe(one);
    await runGit(source, ["tag", "-f", "nightly", two]);
    expect(await commit("expressions", "nightly~1")).toBe(one);
    expect(await commit("expressions", "nightly^{commit}")).toBe(two);
  });

  it("a name shared by a tag and a branch resolves to the tag with a warning, and full names select either", async () => {
    const { source, one, two } = await mirrored("two-meanings");
    await runGit(source, ["tag", "1.0", one]);
    await runGit(source, ["branch", "1.0", two]);
    const warning = expect.stringMatching(/"1\.0" could mean the tag refs\/tags\/1\.0 or the branch refs\/heads\/1\.0/);
    for (const [revision, expected, warnings] of [
      ["1.0", one, [warning]],
      ["1.0^{commit}", one, [warning]],
      ["refs/tags/1.0", one, []],
      ["refs/heads/1.0", two, []],
      ["tags/1.0", one, []],
      ["heads/1.0", two, []],
      ["main", two, []],
      ["HEAD", two, []],
    ] as const) {
      expect(await service.resolve("two-meanings", revision), revision).toMatchObject({ commit: expected, warnings });
    }
  });

  it("a branch named like the first digits of a commit takes precedence with a warning", async () => {
    const { source, one, two } = await mirrored("hexadecimal");
    await runGit(source, ["branch", one.slice(0, 8), two]);
    expect(await service.resolve("hexadecimal", one.slice(0, 8))).toMatchObject({
      commit: two,
      warnings: [expect.stringContaining(`or the commit ${one}`)],
    });
    expect(await service.resolve("hexadecimal", one.slice(0, 9))).toMatchObject({ commit: one, warnings: [] });
  });

  it("a branch named HEAD does not replace the repository's HEAD, and the caller gets a warning", async () => {
    const { source, one, two } = await mirrored("named-head");
    await runGit(source, ["update-ref", "refs/heads/HEAD", one]);
    expect(await service.resolve("named-head", "HEAD")).toMatchObject({
      commit: two,
      warnings: [expect.stringContaining("the repository's HEAD or the branch refs/heads/HEAD")],
    });
    expect(await commit("named-head", "refs/heads/HEAD")).toBe(one);
  });

  it("the mirror's internal references can't be used as revisions and hide no branch", async () => {
    const { source, one, two } = await mirrored("bookkeeping");
    expect(await commit("bookkeeping", "HEAD")).toBe(two);
    for (const revision of ["refs/airlock/HEAD", "airlock/HEAD", "airlock-identity", "FETCH_HEAD", "config"]) {
      await expect(service.resolve("bookkeeping", revision), revision).rejects.toMatchObject({
        code: "unknown-revision",
      });
    }
    await runGit(source, ["branch", "airlock/HEAD", one]);
    expect(await commit("bookkeeping", "airlock/HEAD")).toBe(one);
  });

  it("parent expressions and the output of `git describe` resolve to their commits", async () => {
    const { source, one, two } = await mirrored("steps");
    await runGit(source, ["tag", "-a", "-m", "One", "v1", one]);
    const described = await runGit(source, ["describe", two]);
    for (const [revision, expected] of [
      ["main~1", one],
      ["main^", one],
      ["@~", one],
      ["v1^{}", one],
      [`${two}^1`, one],
      [described, two],
    ] as const) {
      expect(await commit("steps", revision), revision).toBe(expected);
    }
    for (const revision of ["main~9", ":/Two", "main^{/One}", "main@{1}", "main..v1", "*", "v?", "ma[i]n", "~1"]) {
      await expect(service.resolve("steps", revision), revision).rejects.toMatchObject({ code: "unknown-revision" });
    }
  });

  it("a SHA-256 repository is mirrored, and its revisions are found", async () => {
    const { source, one, two } = await mirrored("sha256", { objectFormat: "sha256" });
    expect(one).toMatch(/^[0-9a-f]{64}$/);
    expect(await service.get("sha256")).toMatchObject({ state: "ready", head: two, error: null });
    await runGit(source, ["tag", "-a", "-m", "One", "v1", one]);
    for (const [revision, expected] of [
      ["HEAD", two],
      ["main", two],
      ["v1", one],
      [one, one],
      [one.slice(0, 10), one],
      // As long as a full SHA-1 id, but only an abbreviation here.
      [one.slice(0, 40), one],
    ] as const) {
      expect(await commit("sha256", revision), revision).toBe(expected);
    }
    for (const revision of ["0".repeat(64), "0".repeat(40)]) {
      await expect(service.resolve("sha256", revision)).rejects.toMatchObject({ code: "unknown-revision" });
    }
    await runGit(source, ["config", "uploadpack.allowAnySHA1InWant", "true"]);
    const lost = await runGit(source, ["commit-tree", "-m", "Lost", "main^{tree}"]);
    expect(await commit("sha256", lost)).toBe(lost);
    expect(await service.directoryWith("sha256", lost)).toContain("sha256.git");
  });

  it.each([
    ["with a HEAD", []],
    ["without a HEAD", ["symbolic-ref", "HEAD", "refs/heads/none"]],
  ])("a source that is recreated in the other object format, %s, is mirrored again", async (kind, command) => {
    const name = `reformatted-${command.length}`;
    const { source, two } = await mirrored(name);
    expect(await commit(name, "main")).toBe(two);
    for (const objectFormat of ["sha256", "sha1"] as const) {
      await rm(source, { recursive: true });
      const made = await makeRepository(source, [{ message: "One", files: [] }], { objectFormat });
      if (command.length > 0) await runGit(source, command);
      expect(await commit(name, "main"), kind).toBe(made.head);
    }
  });
});
