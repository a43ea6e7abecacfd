import { mkdir } from "node:fs/promises";
import path from "node:path";
import { toleratedFsckClasses } from "@airlock/git";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeFlawedRepository,
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

/** Classes for which git itself only warns. */
const informational: readonly string[] = ["badFilemode", "badTagName", "missingTaggerEntry"];

describeWithEngines(["postgres"], "a mirror of a repository with the fsck problem", () => {
  let database: TestDatabase;
  let directory: TemporaryDirectory;
  let db: Database;
  let service: RepositoryService;
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

  it.each(toleratedFsckClasses)("%s is complete", async (flaw) => {
    const source = path.join(directory.path, flaw);
    const { head, object } = await makeFlawedRepository(flaw, source);
    if (!informational.includes(flaw)) {
      // Verify that the object has this flaw: git refuses it with its name.
      const strict = path.join(directory.path, `${flaw}-strict`);
      await mkdir(strict);
      await runGit(strict, ["init", "--quiet", "--bare"]);
      const fetch = ["-c", "fetch.fsckObjects=true", "fetch", "--quiet", source, "+refs/*:refs/*"];
      await expect(runGit(strict, fetch)).rejects.toThrow(`${object}: ${flaw}: `);
    }
    expect(await service.add({ name: flaw, url: source })).toMatchObject({ state: "ready", head, error: null });
    expect(await runGit(await service.directoryWith(flaw, head), ["cat-file", "-e", object])).toBe("");
  });

  it("hasDotgit is refused", async () => {
    const source = path.join(directory.path, "dangerous");
    await makeFlawedRepository("hasDotgit", source);
    expect(await service.add({ name: "dangerous", url: source })).toMatchObject({
      state: "failed",
      error: expect.stringContaining("hasDotgit"),
    });
  });
});
