import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseKeys } from "../sealing/keyring.ts";
import { Sealer } from "../sealing/sealer.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { RepositoryService } from "./repository-service.ts";

describeWithEngines(["postgres"], "mirrors that a killed instance left behind", () => {
  const suite = new AsyncDisposableStack();
  let db: Database;
  let source: string;
  let mirrors: string;
  const sealer = new Sealer(parseKeys("a".repeat(64), "the test"));
  const open = () =>
    RepositoryService.open({
      db,
      sealer,
      directory: mirrors,
      executablePath: "/usr/local/bin:/usr/bin:/bin",
      allowLocal: true,
      onError: (message) => expect.fail(message),
    });
  const leftIn = async (directory: string) =>
    (await readdir(directory)).filter((name) => !/^\.(home|local)/.test(name));

  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    mirrors = path.join(directory.path, "mirrors");
    source = (await makeRepository(path.join(directory.path, "app"), [{ message: "1", files: [] }])).path;
    const database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    db = await openDatabase({ url: database.url });
    suite.defer(() => db.destroy());
  });
  afterAll(() => suite.disposeAsync());

  it("are removed at the next start wherever the deletion was interrupted, and mirrors in use are kept", async () => {
    await using first = await open();
    for (const name of ["kept", "team/kept", "team/deleted"]) {
      await db
        .insertInto("repositories")
        .values({ name, url: `${source}?${name}` })
        .execute();
      await mkdir(path.join(mirrors, `${name}.git`, "objects"), { recursive: true });
    }
    // As after a kill: the row is deleted, and the directory partially.
    await db.deleteFrom("repositories").where("name", "=", "team/deleted").execute();
    const trash = path.join(mirrors, ".trash-1700000000000-abc", "objects");
    await mkdir(trash, { recursive: true });
    await writeFile(path.join(trash, "pack"), "large");
    await first[Symbol.asyncDispose]();

    await using second = await open();
    await expect.poll(() => leftIn(mirrors)).toEqual(["kept.git", "team"]);
    expect(await leftIn(path.join(mirrors, "team"))).toEqual(["kept.git"]);
    expect((await second.list()).map(({ name }) => name)).toEqual(["kept", "team/kept"]);
  });

  it("of a repository that another instance deleted are removed while this instance runs", async () => {
    await using service = await open();
    await service.add({ name: "shared", url: source });
    expect(await leftIn(mirrors)).toContain("shared.git");
    await db.deleteFrom("repositories").where("name", "=", "shared").execute();
    await service.sweep();
    await expect.poll(() => leftIn(mirrors)).not.toContain("shared.git");
    await service.add({ name: "shared", url: source });
    await service.sweep();
    expect((await service.resolve("shared", "HEAD")).commit).toMatch(/^[0-9a-f]{40}$/);
  });
});
