import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  runGit,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { tablesWithText } from "../testing/tables-with-text.ts";
import { startTestInstance } from "../testing/test-instance.ts";

const password = "s3cret-9f27";

/** Serves a bare repository to clients that know the password. */
async function serveRepository(directory: string): Promise<Server & AsyncDisposable> {
  await runGit(directory, ["update-server-info"]);
  const authorization = `Basic ${Buffer.from(`ci:${password}`).toString("base64")}`;
  const server = createServer((request, response) => {
    if (request.headers.authorization !== authorization) {
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
      return;
    }
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    readFile(path.join(directory, pathname.replace("/app.git", ""))).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describeWithEngines(["postgres"], "a job submitted with the URL of a repository and its password", () => {
  it("runs on the repository, and the password is in no answer, table or event", async () => {
    await using directory = await temporaryDirectory();
    const source = await makeRepository(path.join(directory.path, "app.git"), [
      { message: "One", files: [{ path: "file", content: "1" }] },
    ]);
    await using server = await serveRepository(source.path);
    const { port } = server.address() as AddressInfo;
    const shown = `http://127.0.0.1:${port}/app.git`;
    const url = shown.replace("//", `//ci:${password}@`);
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using target = await startTestInstance(
      { url: database.url },
      { secretKeys: { kind: "text", text: "5f".repeat(32) } },
    );

    const answers: string[] = [];
    const call = async (method: string, where: string, body?: unknown, headers?: Record<string, string>) => {
      const response = await target.rest(method, where, body, headers);
      answers.push(await response.clone().text());
      return response;
    };
    const added = (await (await call("POST", "/repositories", { url })).json()) as Record<string, unknown>;
    expect(added).toMatchObject({ name: `127.0.0.1-${port}/app`, url: shown, state: "ready" });
    const steps = [{ key: "main", image: "alpine", run: "true" }];
    const key = { "idempotency-key": "the same" };
    for (const status of [201, 200]) {
      const response = await call("POST", "/jobs", { repository: url, steps }, key);
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ repository: added.name, commit: source.head });
    }
    expect((await call("POST", "/jobs", { repository: `${url}/unknown`, steps })).status).toBe(422);
    expect((await call("POST", "/jobs", { repository: url, revision: "nothing", steps })).status).toBe(422);
    for (const wrong of [url.replace("ci:", "ci:a/b"), url.replace("http://", ""), url.replace("http:", "ext:")]) {
      expect((await call("POST", "/repositories", { url: wrong })).status).toBe(422);
      expect((await call("POST", "/jobs", { repository: wrong, steps })).status).toBe(422);
    }
    expect((await call("GET", `/jobs?repository=${encodeURIComponent(url)}`)).status).toBe(200);
    const taken = await target.executor("queue/default/dequeue", { executorName: "builder", airlock: {} });
    answers.push(await taken.text());
    for (const where of [
      "/jobs",
      "/jobs/1",
      "/repositories",
      `/repositories/${encodeURIComponent(String(added.name))}`,
    ]) {
      expect((await call("GET", where)).status).toBe(200);
    }
    await call("POST", "/jobs/1/cancel");
    answers.push(await (await fetch(`${target.url}/metrics`)).text());

    expect(answers.filter((text) => text.includes(password))).toEqual([]);
    const encoded = Buffer.from(`ci:${password}`).toString("base64");
    expect(await tablesWithText(database.url, [password, encoded])).toEqual([]);
  });
});
