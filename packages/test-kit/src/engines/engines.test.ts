import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { expect, it } from "vitest";
import { createDatabase } from "./create-database.ts";
import { debianFixture } from "./debian-fixture.ts";
import { debianImages } from "./debian-image.ts";
import { findDebianMirror } from "./debian-mirror.ts";
import { describeWithEngines, engines } from "./engines.ts";
import { parseEngineNames } from "./engines-contract.ts";

const run = promisify(execFile);

it("refuses the name of an engine that does not exist", () => {
  expect(() => parseEngineNames("docker,podman")).toThrow('unknown engine "podman"');
  expect([...parseEngineNames("docker, postgres")]).toEqual(["docker", "postgres"]);
});

describeWithEngines(["postgres"], "the PostgreSQL engine", () => {
  it("gives each test file its own database and drops it afterwards", async () => {
    const { url } = engines().postgres ?? expect.unreachable();
    const database = await createDatabase(url);
    const client = new pg.Client({ connectionString: database.url });
    client.on("error", () => {});
    await client.connect();
    await client.query("CREATE TABLE t (n int)");
    await database[Symbol.asyncDispose]();
    await expect(client.query("SELECT 1")).rejects.toThrow();
    const again = new pg.Client({ connectionString: database.url });
    await expect(again.connect()).rejects.toThrow("does not exist");
  });
});

describeWithEngines(["oci"], "the OCI engine", () => {
  it("starts a runtime that answers", async () => {
    const { runtimePath } = engines().oci ?? expect.unreachable();
    expect((await run(runtimePath, ["--version"])).stdout).toContain("spec: 1.");
  });
});

describeWithEngines(["debian"], "the Debian engine", () => {
  it("makes images that Docker and OCI tools read, and keeps packages next to them", async () => {
    const { imagesDirectory, packagesDirectory } = await debianFixture();
    const saved = await readFile(join(imagesDirectory, "manifest.json"), "utf8");
    const layout = await readFile(join(imagesDirectory, "index.json"), "utf8");
    for (const reference of Object.values(debianImages)) {
      expect(saved).toContain(reference);
      expect(layout).toContain(reference);
    }
    expect(await readdir(packagesDirectory)).toContainEqual(expect.stringMatching(/^cron_.*\.deb$/));
  }, 300_000);

  it("gets the distribution from the mirror that the machine uses", async () => {
    const { suite, url } = await findDebianMirror();
    expect(await readFile("/etc/os-release", "utf8")).toContain(`VERSION_CODENAME=${suite}\n`);
    expect(url).toMatch(/^https?:\/\/[^/]+\/\w+/);
  });
});
