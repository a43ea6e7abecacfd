import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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
import { type MirrorLimits, usedBytes } from "./mirror-limits.ts";
import { RepositoryService } from "./repository-service.ts";

const keyring = parseKeys("b".repeat(64), "the test");
const megabyte = 1024 * 1024;

describeWithEngines(["postgres"], "the limits of a mirror", () => {
  let database: TestDatabase;
  let directory: TemporaryDirectory;
  let db: Database;
  let count = 0;
  const services: RepositoryService[] = [];

  beforeAll(async () => {
    directory = await temporaryDirectory();
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    await db.insertInto("secret_keys").values({ key_id: keyring.primary.id }).execute();
  });
  afterAll(async () => {
    for (const service of services) await service[Symbol.asyncDispose]();
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  const newPath = (name: string) => path.join(directory.path, `${name}-${++count}`);
  async function open(limits: MirrorLimits, mirrors = newPath("mirrors")) {
    const service = await RepositoryService.open({
      db,
      sealer: new Sealer(keyring),
      directory: mirrors,
      executablePath: "/usr/local/bin:/usr/bin:/bin",
      allowLocal: true,
      limits,
      onError: () => {},
    });
    services.push(service);
    return { service, mirrors };
  }
  async function addNoise(repository: string, bytes: number): Promise<void> {
    await writeFile(path.join(repository, "noise"), randomBytes(bytes));
    await runGit(repository, ["--work-tree=.", "add", "noise"]);
    await runGit(repository, ["--work-tree=.", "commit", "--quiet", "-m", "Noise"]);
  }

  it("refuse a repository that is too large, report it, and store nothing of it", async () => {
    const { service, mirrors } = await open({ maxBytes: 4 * megabyte, maxObjects: 1000 });
    const source = newPath("source");
    await makeRepository(source, [{ message: "One", files: [{ path: "file", content: "1" }] }]);
    await addNoise(source, 12 * megabyte);
    let most = 0;
    const watching = setInterval(() => {
      usedBytes(mirrors).then(
        (bytes) => {
          most = Math.max(most, bytes);
        },
        () => {}, // Files disappear while they are counted.
      );
    }, 10);
    const view = await service.add({ name: `large-${count}`, url: source });
    clearInterval(watching);
    expect(view.state).toBe("failed");
    expect(view.error).toContain("is too large: more than 4 MiB");
    await expect(service.refresh(view.name)).rejects.toMatchObject({ code: "repository-too-large" });
    expect(most).toBeLessThan(5 * megabyte);
    expect(await usedBytes(mirrors)).toBeLessThan(megabyte / 10);
  });

  it("keep the existing mirror of a repository that grows too large", async () => {
    const { service, mirrors } = await open({ maxBytes: 4 * megabyte, maxObjects: 1000 });
    const source = newPath("source");
    const made = await makeRepository(source, [{ message: "One", files: [{ path: "file", content: "1" }] }]);
    const { name } = await service.add({ name: `grows-${count}`, url: source });
    const before = await usedBytes(mirrors);
    await addNoise(source, 12 * megabyte);
    await expect(service.refresh(name)).rejects.toMatchObject({ code: "repository-too-large" });
    expect(await usedBytes(mirrors)).toBe(before);
    const commit = made.commits.at(-1) ?? "";
    expect((await service.resolve(name, commit)).commit).toBe(commit);
  });

  it("apply to the number of objects before they are unpacked", async () => {
    const { service, mirrors } = await open({ maxBytes: 100 * megabyte, maxObjects: 50 });
    const source = newPath("source");
    const files = Array.from({ length: 60 }, (_, index) => ({ path: `file-${index}`, content: `${index}` }));
    await makeRepository(source, [{ message: "Many", files }]);
    const view = await service.add({ name: `many-${count}`, url: source });
    expect(view.error).toContain("is too large: more than 50 objects");
    expect(await usedBytes(mirrors)).toBeLessThan(megabyte / 10);
  });

  it("apply to the compressed size of an object that shrinks a thousandfold", async () => {
    const { service } = await open({ maxBytes: 2 * megabyte, maxObjects: 50 });
    const source = newPath("source");
    await makeRepository(source, [{ message: "One", files: [{ path: "file", content: "1" }] }]);
    await writeFile(path.join(source, "bomb"), Buffer.alloc(64 * megabyte));
    await runGit(source, ["--work-tree=.", "add", "bomb"]);
    await runGit(source, ["--work-tree=.", "commit", "--quiet", "-m", "Bomb"]);
    expect(await service.add({ name: `bomb-${count}`, url: source })).toMatchObject({ state: "ready" });
  });

  it("apply to a server without smart HTTP, which also gets the credentials that it asks for", async () => {
    const source = newPath("source");
    await makeRepository(source, [{ message: "One", files: [{ path: "file", content: "1" }] }]);
    await runGit(source, ["update-server-info"]);
    const wanted = `Basic ${Buffer.from("reader:p%ss w\"rd'$(id)").toString("base64")}`;
    const server = createServer(async (request, response) => {
      if (request.headers.authorization !== wanted) {
        return response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      }
      const file = path.join(source, new URL(request.url ?? "", "http://x").pathname.replace("/x.git", ""));
      const content = await readFile(file).catch(() => null);
      return response.writeHead(content ? 200 : 404).end(content ?? "");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://reader:${encodeURIComponent("p%ss w\"rd'$(id)")}@127.0.0.1:${port}/x.git`;
    try {
      const { service } = await open({ maxBytes: 100 * megabyte, maxObjects: 50 });
      const view = await service.add({ name: `dumb-${count}`, url });
      expect(view).toMatchObject({ state: "ready", error: null, url: `http://127.0.0.1:${port}/x.git` });
      await addNoise(source, 30 * megabyte);
      await runGit(source, ["update-server-info"]);
      const small = await open({ maxBytes: 4 * megabyte, maxObjects: 50 });
      await expect(small.service.refresh(view.name)).rejects.toMatchObject({ code: "repository-too-large" });
      expect(await usedBytes(small.mirrors)).toBeLessThan(megabyte);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it.each(["file:///etc", "ext::sh -c id", "--upload-pack=id", "ssh://u:p@h.example/x", "-oProxyCommand=id:x"])(
    "do not apply to %s, which is refused before fetching",
    async (url) => {
      const service = await RepositoryService.open({
        db,
        sealer: new Sealer(keyring),
        directory: newPath("mirrors"),
        executablePath: "/usr/bin:/bin",
        allowLocal: false,
        onError: () => {},
      });
      services.push(service);
      await mkdir(path.join(directory.path, "x"), { recursive: true });
      await expect(service.add({ url })).rejects.toMatchObject({
        code: expect.stringMatching(/^(?:invalid-repository-url|local-repository-refused)$/),
      });
    },
  );
});
