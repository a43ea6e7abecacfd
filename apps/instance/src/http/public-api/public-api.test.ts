import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../../store/database.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "paths that other programs use", () => {
  const suite = new AsyncDisposableStack();
  let target: TestInstance;
  let db: Database;
  let commit: string;
  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    const webDirectory = path.join(directory.path, "web");
    await mkdir(webDirectory);
    await writeFile(path.join(webDirectory, "index.html"), "<title>Airlock</title>");
    const source = await makeRepository(path.join(directory.path, "app"), [{ message: "1", files: [] }]);
    commit = source.head;
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = suite.use(await startTestInstance(database, { webDirectory }));
    await target.rest("POST", "/repositories", { name: "app", url: source.path });
    db = await openDatabase({ url: database.url });
    suite.defer(() => db.destroy());
  });
  afterAll(() => suite.disposeAsync());

  it.each([
    ["GET", "/.api/graphql"],
    ["POST", "/.api/graphql"],
    ["GET", "/.api"],
    ["GET", "/.api/src-cli/src_linux_amd64"],
    ["GET", "/.api/x?y=z"],
    ["DELETE", "/.api/scip/upload"],
    ["GET", "/api/v1/graphql"],
    ["HEAD", "/api/v1/graphql"],
    ["GET", "/.executors/graphql"],
    ["GET", "/api/v2/jobs"],
    ["GET", "/api"],
    ["POST", "/api/"],
  ])("answer %s %s with 404 as JSON if they don't exist, never with the web page", async (method, route) => {
    const response = await fetch(target.url + route, { method });
    const body = method === "HEAD" ? null : await response.json();
    expect([response.status, body]).toEqual([
      404,
      method === "HEAD" ? null : { error: expect.objectContaining({ code: "not-found" }) },
    ]);
  });

  it("outside the APIs still show the web page", async () => {
    expect(await (await fetch(`${target.url}/jobs/1`)).text()).toContain("<title>Airlock</title>");
    expect(await (await fetch(`${target.url}/.api/src-cli/version`)).json()).toHaveProperty("version");
  });

  const upload = (route: string, query: Record<string, string>, authorization: string | null, body?: Buffer) =>
    fetch(`${target.url}${route}?${new URLSearchParams(query)}`, {
      method: "POST",
      headers: {
        "content-type": "application/x-protobuf+scip",
        "x-uncompressed-size": "5",
        ...(authorization === null ? {} : { authorization }),
      },
      ...(body ? { body: new Uint8Array(body) } : {}),
    });
  const index = () => ({ repository: "app", commit, root: "", indexerName: "scip-test", indexerVersion: "1" });
  const bytes = gzipSync("index");

  it.each(["/.api/scip/upload", "/.api/lsif/upload"])("accept an index at %s with the user's token", async (route) => {
    const probe = await fetch(target.url + route, { method: "HEAD", headers: tokenOf(target) });
    expect(probe.status).toBe(200);
    const whole = await upload(route, index(), tokenOf(target).authorization, bytes);
    expect([whole.status, await whole.json()]).toEqual([202, { id: expect.stringMatching(/^\d+$/) }]);
    const started = await upload(
      route,
      { ...index(), multiPart: "true", numParts: "2" },
      tokenOf(target).authorization,
    );
    const { id } = (await started.json()) as { id: string };
    for (const part of ["1", "0"]) {
      const sent = await upload(route, { uploadId: id, index: part }, tokenOf(target).authorization, bytes);
      expect(sent.status).toBe(204);
    }
    const finished = await upload(route, { uploadId: id, done: "true" }, tokenOf(target).authorization);
    expect([finished.status, await finished.json()]).toEqual([202, { id }]);
    const { rows } = await sql`select from code_intel_uploads where id = ${Number(id)} and state = 'uploaded'`.execute(
      db,
    );
    expect(rows).toHaveLength(1);
  });

  it("accept an index of a commit with a SHA-256 id, and refuse an id of any other length", async () => {
    const { authorization } = tokenOf(target);
    const send = (digits: number) =>
      upload("/.api/scip/upload", { ...index(), commit: "a".repeat(digits) }, authorization, bytes);
    expect((await send(64)).status).toBe(202);
    for (const digits of [39, 41, 63, 65]) expect((await send(digits)).status).toBe(400);
  });

  it("refuse an index without a valid token, and report what is wrong with an index", async () => {
    const route = "/.api/scip/upload";
    const { executorToken } = target.instance;
    for (const wrong of [
      null,
      "token wrong",
      "Basic eA==",
      `token-executor ${executorToken}`,
      `token ${executorToken}`,
    ]) {
      expect((await upload(route, index(), wrong, bytes)).status).toBe(401);
    }
    const { authorization } = tokenOf(target);
    expect((await upload(route, { ...index(), repository: "none" }, authorization, bytes)).status).toBe(404);
    const short = await upload(route, { ...index(), commit: "main" }, authorization, bytes);
    expect([short.status, await short.text()]).toEqual([400, expect.stringMatching(/^commit: /)]);
  });
});

/** As `src` sends it. */
function tokenOf(target: TestInstance): { readonly authorization: string } {
  return { authorization: `token ${target.instance.administratorToken}` };
}
