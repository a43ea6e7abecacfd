import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../store/database.ts";
import { startTestInstance, type TestInstance } from "../testing/test-instance.ts";

describeWithEngines(["postgres"], "a repository that is deleted while a job on it is submitted", () => {
  const suite = new AsyncDisposableStack();
  let target: TestInstance;
  let db: Database;
  let sources: string;
  let name = "";
  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    sources = directory.path;
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = suite.use(await startTestInstance(database));
    db = await openDatabase({ url: database.url });
    suite.defer(() => db.destroy());
  });
  afterAll(() => suite.disposeAsync());

  const add = () => target.rest("POST", "/repositories", { name, url: `${sources}/${name}` });
  const addNew = async (next: string) => {
    name = next;
    await makeRepository(`${sources}/${name}`, [{ message: "1", files: [] }]);
    expect((await add()).status).toBe(201);
  };
  const remove = () => target.rest("DELETE", `/repositories/${name}`);
  const submit = () =>
    target.rest("POST", "/jobs", { repository: name, steps: [{ key: "main", image: "alpine", run: "true" }] });
  /** Whether a statement with this text waits for a lock. */
  const waits = async (text: string) => {
    const { rows } = await sql`select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query ilike ${`%${text}%`}`.execute(db);
    return rows.length > 0;
  };

  it("is kept if the job was stored first", async () => {
    await addNew("first");
    const held = await db.transaction().execute(async (transaction) => {
      await sql`select from repositories where name = ${name} for key share`.execute(transaction);
      const answer = remove();
      await expect.poll(() => waits("repositories")).toBe(true);
      expect((await submit()).status).toBe(201);
      return { answer };
    });
    const removing = await held.answer;
    expect([removing.status, await removing.json()]).toEqual([
      409,
      { error: expect.objectContaining({ code: "repository-in-use" }) },
    ]);
    const { jobs } = (await (await target.rest("GET", "/jobs")).json()) as { jobs: { id: number }[] };
    for (const { id } of jobs) await target.rest("POST", `/jobs/${id}/cancel`);
    expect((await remove()).status).toBe(204);
  });

  it("has no job if it was deleted first", async () => {
    await addNew("second");
    const held = await db.transaction().execute(async (transaction) => {
      await sql`lock table jobs in share row exclusive mode`.execute(transaction);
      const answer = submit();
      await expect.poll(() => waits("insert into jobs")).toBe(true);
      expect((await remove()).status).toBe(204);
      return { answer };
    });
    const submitting = await held.answer;
    expect([submitting.status, await submitting.json()]).toEqual([
      422,
      { error: expect.objectContaining({ code: "unknown-repository" }) },
    ]);
  });

  it("never leaves a job without a repository or a request without an answer, in either order", async () => {
    await addNew("third");
    for (let turn = 0; turn < 20; turn += 1) {
      expect((await add()).status).toBe(201);
      const [submitted, removed] = await Promise.all([submit(), remove()]);
      expect([
        [201, 409],
        [422, 204],
      ]).toContainEqual([submitted.status, removed.status]);
      if (submitted.status !== 201) continue;
      const { id } = (await submitted.json()) as { id: number };
      await target.rest("POST", `/jobs/${id}/cancel`);
      expect((await remove()).status).toBe(204);
    }
  });
});
