import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { AuditPage, JobView, OrganizationList, SecretList } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

/**
 * A dump of a real database of schema 18, without comments. Job 1 ran in "team-a" with a log and a secret, and the
 * others wait. "team-b" has only a secret.
 */
const dump = path.join(import.meta.dirname, "../../testing/dumps/schema-18.sql");
/** The key of that instance's secrets. */
const secretKey = "HVj9zSOyN13k4GmZazB9O8f/QdiS60RnXgSwurXrnSE=";

describeWithEngines(["postgres"], "a database of the version before accounts", () => {
  let directory: TemporaryDirectory;
  let target: TestInstance;
  let client: pg.Client;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    const keyFile = path.join(directory.path, "key");
    await writeFile(keyFile, `${secretKey}\n`, { mode: 0o600 });
    const database = await createDatabase(engines().postgres?.url ?? "");
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(await readFile(dump, "utf8"));
    // The dump emptied it.
    await client.query("set search_path to public");
    target = await startTestInstance(database, { secretKeys: { kind: "file", file: keyFile } });
  });
  afterAll(async () => {
    await client?.end();
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  it("keeps each namespace as an organization, whatever its name", async () => {
    const { organizations } = OrganizationList.parse(await (await target.rest("GET", "/organizations")).json());
    expect(organizations.map(({ name }) => name)).toEqual(["admin", "default", "team-a", "team-b", "team1", "teaml"]);
  });

  it("keeps jobs with their namespaces and logs", async () => {
    const job = JobView.parse(await (await target.rest("GET", "/jobs/1")).json());
    expect(job).toMatchObject({ namespace: "team-a", state: "completed", repository: "app" });
    expect(await (await target.rest("GET", "/jobs/1/logs")).text()).toContain("a line of team-a");
    const list = await (await target.rest("GET", "/jobs?namespace=teaml")).json();
    expect(list).toMatchObject({ jobs: [{ id: 5 }] });
  });

  it("keeps secrets, which jobs still get", async () => {
    const { secrets } = SecretList.parse(await (await target.rest("GET", "/secrets")).json());
    expect(secrets.map(({ name, namespace }) => [name, namespace])).toEqual([
      ["TOKEN", null],
      ["TOKEN", "team-a"],
      ["TOKEN", "team-b"],
    ]);
    const steps = [{ key: "main", image: "alpine", run: "true", secrets: ["TOKEN"] }];
    const id = await target.submit({ steps, namespace: "team-b", priority: 100 });
    const taken = await target.executor("queue/default/dequeue", { executorName: "new", version: "6.0.0" });
    const job = (await taken.json()) as TakenJob;
    expect(job.id).toBe(id);
    expect(JSON.stringify(job)).toContain("secret of team-b");
    const ended = await target.executor(
      "queue/default/markComplete",
      { executorName: "new", jobId: id },
      jobHeaders(job, "new"),
    );
    expect(ended.status).toBe(204);
    const log = AuditPage.parse(await (await target.rest("GET", `/audit?job=${id}`)).json());
    expect(log.entries).toMatchObject([
      { action: "secret.used", actor: "new", namespace: "team-b" },
      { action: "job.submitted", actor: "administrator", namespace: "team-b" },
    ]);
  });

  it("shows each repository only to the organizations whose jobs used it", async () => {
    const { rows } = await client.query(
      "select name, visible_to_everyone, organization from repositories left join repository_organizations on repository = name order by name",
    );
    expect(rows).toEqual([
      { name: "app", visible_to_everyone: false, organization: "team-a" },
      { name: "unused", visible_to_everyone: false, organization: null },
    ]);
  });
});
