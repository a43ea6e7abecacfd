import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chown, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  hostileRepositoryNames,
  makeHostileRepository,
  makeRepository,
  runGit,
  type TemporaryDirectory,
  type TestDatabase,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseKeys } from "../sealing/keyring.ts";
import { Sealer } from "../sealing/sealer.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { RepositoryService } from "./repository-service.ts";

const owned = "/tmp/airlock-owned";
const keyring = parseKeys("a".repeat(64), "the test");
const sealer = new Sealer(keyring);

describeWithEngines(["postgres"], "the repository service", () => {
  let database: TestDatabase;
  let directory: TemporaryDirectory;
  let db: Database;
  let service: RepositoryService;
  let mirrors: string;
  let count = 0;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    mirrors = path.join(directory.path, "mirrors");
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    await db.insertInto("secret_keys").values({ key_id: keyring.primary.id }).execute();
    service = await open(mirrors);
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  function open(at: string, executablePath = "/usr/local/bin:/usr/bin:/bin"): Promise<RepositoryService> {
    return RepositoryService.open({ db, sealer, directory: at, executablePath, allowLocal: true, onError: () => {} });
  }
  const newPath = () => path.join(directory.path, `source-${++count}`);
  const file = (content: string) => [{ path: "file", content }];

  it("encrypts credentials, shows them to no one, and replaces them when the repository is added again", async () => {
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(request.headers.authorization ? 404 : 401, { "www-authenticate": "Basic" }).end();
    });
    server.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const shown = `http://127.0.0.1:${(server.address() as AddressInfo).port}/private.git`;
    const url = (password: string) => shown.replace("//", `//robot:${password}@`);
    try {
      await service.add({ name: "private", url: url("first-password") });
      const view = await service.add({ name: "private", url: url("second-password") });
      expect(view.url).toBe(shown);
      await service.add({ name: "private", url: shown });
      await service.refresh("private").catch(() => {});
      const credentials = (password: string) => `Basic ${Buffer.from(`robot:${password}`).toString("base64")}`;
      expect(seen.filter(Boolean).at(0)).toBe(credentials("first-password"));
      expect(seen.filter(Boolean).at(-1)).toBe(credentials("second-password"));
      const row = await db
        .selectFrom("repositories")
        .selectAll()
        .where("name", "=", "private")
        .executeTakeFirstOrThrow();
      expect(row.sealed_url?.length).toBeGreaterThan(100);
      expect(JSON.stringify([row, row.sealed_url?.toString("latin1"), view])).not.toMatch(/(?:first|second)-password/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it("finds a free name for a repository whose last path part is already a name", async () => {
    const paths = ["one/app", "two/app", "three/two/app"].map((name) => path.join(directory.path, name));
    for (const at of paths) await makeRepository(at, [{ message: "One", files: file("1") }]);
    const names: string[] = [];
    for (const url of paths) names.push((await service.add({ url })).name);
    expect(names).toEqual(["app", "two/app", "three/two/app"]);
    // From now on, each path finds its own name.
    expect((await service.add({ url: paths[1] ?? "" })).name).toBe("two/app");
    await expect(service.add({ name: "app", url: newPath() })).rejects.toMatchObject({
      message: 'another repository already has the name "app"',
      hint: expect.stringContaining("--name"),
    });
    await expect(service.add({ name: "other", url: paths[0] ?? "" })).rejects.toMatchObject({
      message: `${paths[0]} was already added, as "app"`,
    });
  });

  it("finds a commit that was made a moment ago, on a branch and on HEAD", async () => {
    const source = newPath();
    const made = await makeRepository(source, [{ message: "One", files: file("1") }]);
    await service.add({ name: "moving", url: source });
    expect(await service.resolve("moving", "main")).toMatchObject({ repository: "moving", commit: made.head });
    for (let round = 0; round < 3; round++) {
      const next = await runGit(source, ["commit-tree", "-p", "main", "-m", `Round ${round}`, "main^{tree}"]);
      await runGit(source, ["update-ref", "refs/heads/main", next]);
      expect((await service.resolve("moving", "HEAD")).commit).toBe(next);
    }
    // URLs work, too, and deleted branches are gone.
    await runGit(source, ["branch", "feature", "main"]);
    expect((await service.resolve(source, "feature")).commit).toMatch(/^[0-9a-f]{40}$/);
    await runGit(source, ["branch", "-D", "feature"]);
    await expect(service.resolve("moving", "feature")).rejects.toMatchObject({ code: "unknown-revision" });
  });

  it("finds commits outside branches, short ids and tags, and refuses anything else", async () => {
    const source = newPath();
    const made = await makeRepository(source, [{ message: "One", files: file("1"), tag: "v1.0" }]);
    await runGit(source, ["config", "uploadpack.allowAnySHA1InWant", "true"]);
    const lost = await runGit(source, ["commit-tree", "-m", "Lost", "main^{tree}"]);
    await service.add({ name: "revisions", url: source });
    const resolve = async (revision: string) => (await service.resolve("revisions", revision)).commit;
    expect(await resolve(lost)).toBe(lost);
    expect(await resolve("v1.0")).toBe(made.head);
    expect(await resolve(made.head.slice(0, 8))).toBe(made.head);
    expect(await resolve("refs/heads/main")).toBe(made.head);
    for (const revision of ["nope", "0".repeat(40), "main^{tree}", "main:file", "--all", "main..main", "", "$(id)"]) {
      await expect(service.resolve("revisions", revision), revision).rejects.toMatchObject({
        code: "unknown-revision",
      });
    }
  });

  it("fetches once for many simultaneous requests", async () => {
    const source = newPath();
    await makeRepository(source, [{ message: "One", files: file("1") }]);
    // A git wrapper that records its arguments.
    const bin = path.join(directory.path, "bin");
    const record = path.join(directory.path, "git-commands");
    await mkdir(bin);
    await writeFile(path.join(bin, "git"), `#!/bin/sh\necho "$@" >>${record}\nexec /usr/bin/git "$@"\n`, {
      mode: 0o755,
    });
    await using counted = await open(path.join(directory.path, "counted"), `${bin}:/usr/bin:/bin`);
    const before = (await counted.add({ name: "busy", url: source })).state;
    await writeFile(record, "");
    await Promise.all(Array.from({ length: 20 }, () => counted.refresh("busy")));
    const fetches = (await readFile(record, "utf8")).split("\n").filter((line) => / fetch .*--prune/.test(line));
    expect(before).toBe("ready");
    expect(fetches).toHaveLength(1);
  });

  it("mirrors a repository without commits, and one with a detached HEAD", async () => {
    const empty = newPath();
    await mkdir(empty);
    await runGit(empty, ["init", "--quiet", "--bare"]);
    expect(await service.add({ name: "empty", url: empty })).toMatchObject({ state: "ready", head: null });
    await expect(service.resolve("empty", "HEAD")).rejects.toMatchObject({ code: "unknown-revision" });

    const detached = newPath();
    const made = await makeRepository(detached, [
      { message: "One", files: file("1") },
      { message: "Two", files: file("2") },
    ]);
    const [first = ""] = made.commits;
    await runGit(detached, ["update-ref", "--no-deref", "HEAD", first]);
    await service.add({ name: "detached", url: detached });
    expect((await service.resolve("detached", "HEAD")).commit).toBe(first);
  });

  it("mirrors a shallow checkout, and again after its history was completed", async () => {
    const full = newPath();
    const made = await makeRepository(full, [
      { message: "One", files: file("1") },
      { message: "Two", files: file("2") },
    ]);
    const shallow = newPath();
    await runGit(directory.path, ["clone", "--quiet", "--depth=1", `file://${full}`, shallow]);
    await service.add({ name: "shallow", url: shallow });
    expect(await service.resolve("shallow", "HEAD")).toMatchObject({ repository: "shallow", commit: made.head });
    await runGit(shallow, ["fetch", "--quiet", "--unshallow"]);
    expect(await service.resolve("shallow", made.commits[0] ?? "")).toMatchObject({ commit: made.commits[0] });
  });

  it("accepts a local repository of another account when it runs as root", async () => {
    const source = newPath();
    const made = await makeRepository(source, [{ message: "One", files: file("1") }]);
    if (process.getuid?.() === 0) {
      for (const name of await readdir(source, { recursive: true }))
        await chown(path.join(source, name), 65_534, 65_534);
      await chown(source, 65_534, 65_534);
    }
    await service.add({ name: "foreign", url: source });
    expect((await service.resolve("foreign", "HEAD")).commit).toBe(made.head);
  });

  it("runs none of the programs that the source's configuration or hooks name", async () => {
    const source = newPath();
    await makeRepository(source, [{ message: "One", files: file("1") }]);
    const touch = `touch ${owned}`;
    await mkdir(path.join(source, "hooks"), { recursive: true });
    for (const hook of ["post-checkout", "reference-transaction", "post-upload-pack", "pre-auto-gc"]) {
      await writeFile(path.join(source, "hooks", hook), `#!/bin/sh\n${touch}\n`, { mode: 0o755 });
    }
    for (const [key, value] of [
      ["core.fsmonitor", touch],
      ["core.sshCommand", touch],
      ["core.alternateRefsCommand", touch],
      ["uploadpack.packObjectsHook", touch],
      ["core.gitProxy", touch],
      ["core.pager", touch],
    ]) {
      await runGit(source, ["config", key ?? "", value ?? ""]);
    }
    expect(await service.add({ name: "evil-config", url: source })).toMatchObject({ state: "ready" });
    expect(existsSync(owned)).toBe(false);
  });

  describe.each(hostileRepositoryNames)("a repository with %s", (name) => {
    it("is mirrored completely or refused, and none of its code runs", async () => {
      const source = newPath();
      await makeHostileRepository(name, source);
      const added = await service.add({ name: `hostile-${name}`, url: source });
      expect(added.state).toMatch(/^(?:ready|failed)$/);
      if (added.state === "failed") expect(added.error).toMatch(/fsck|gitmodules|submodule/i);
      expect(existsSync(owned)).toBe(false);
    });
  });

  it("follows no redirect to another host, a file or another protocol, with or without credentials", async () => {
    const seen: string[] = [];
    const elsewhere = createServer((request, response) => {
      seen.push(request.headers.authorization ?? "none");
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const redirecting = createServer((request, response) => {
      const location = request.url?.startsWith("/file")
        ? "file:///etc/passwd"
        : `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}${request.url}`;
      const free = request.url?.startsWith("/file") || request.url?.startsWith("/free");
      if (request.headers.authorization || free) response.writeHead(302, { location }).end();
      else response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    });
    await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
    const { port } = redirecting.address() as AddressInfo;
    try {
      const withCredentials = await service.add({
        name: "redirected",
        url: `http://user:pass@127.0.0.1:${port}/x.git`,
      });
      expect(withCredentials).toMatchObject({ state: "failed" });
      const withoutCredentials = await service.add({ name: "free", url: `http://127.0.0.1:${port}/free.git` });
      expect(withoutCredentials).toMatchObject({ state: "failed", error: expect.stringMatching(/30\d|redirect/) });
      expect(seen).toEqual([]);
      const toFile = await service.add({ name: "to-file", url: `http://127.0.0.1:${port}/file.git` });
      expect(toFile).toMatchObject({ state: "failed" });
    } finally {
      redirecting.close();
      elsewhere.close();
    }
  });

  it("keeps credentials off git's command line and out of the mirror", async () => {
    const commandLines: string[] = [];
    const slow = createServer((_request, response) => {
      const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
      commandLines.push(stdout);
      response.writeHead(500).end();
    });
    await new Promise<void>((resolve) => slow.listen(0, "127.0.0.1", resolve));
    const { port } = slow.address() as AddressInfo;
    try {
      await service.add({ name: "quiet", url: `http://user:hunter2-in-url@127.0.0.1:${port}/x.git` });
    } finally {
      slow.close();
    }
    expect(commandLines.length).toBeGreaterThan(0);
    expect(commandLines.join("\n")).toContain("git-remote-http");
    expect(commandLines.filter((line) => line.includes("hunter2"))).toEqual([]);
    expect(await readFile(path.join(mirrors, "quiet.git", "config"), "utf8")).not.toContain("hunter2");
  });

  it("fetches into its own mirror a commit that another instance has pinned", async () => {
    const source = newPath();
    const made = await makeRepository(source, [{ message: "One", files: file("1") }]);
    await service.add({ name: "shared", url: source });
    const { commit } = await service.resolve("shared", "main");
    await using other = await open(path.join(directory.path, "other-mirrors"));
    const mirror = await other.directoryWith("shared", commit);
    expect(await runGit(mirror, ["cat-file", "-t", made.head])).toBe("commit");
  });

  it("serves nothing of a deleted repository under the same name, even if another instance deleted it", async () => {
    const [old, next] = [newPath(), newPath()];
    const secret = await makeRepository(old, [{ message: "Secret", files: file("secret") }]);
    const made = await makeRepository(next, [{ message: "One", files: file("1") }]);
    await service.add({ name: "handed-on", url: old });
    await using other = await open(path.join(directory.path, "third-mirrors"));
    await other.directoryWith("handed-on", secret.head);
    await service.remove("handed-on");
    await expect(other.directoryWith("handed-on", null)).rejects.toMatchObject({ code: "unknown-repository" });
    await service.add({ name: "handed-on", url: next });
    // Also on an instance that was not running meanwhile.
    await using restarted = await open(path.join(directory.path, "third-mirrors"));
    for (const at of [other, restarted]) {
      expect(await at.resolve("handed-on", "main")).toMatchObject({ repository: "handed-on", commit: made.head });
      await expect(at.resolve("handed-on", secret.head)).rejects.toMatchObject({ code: "unknown-revision" });
      const mirror = await at.directoryWith("handed-on", null);
      await expect(runGit(mirror, ["cat-file", "-e", secret.head])).rejects.toThrow();
    }
  });

  it("works after a killed git process left its lock files", async () => {
    const source = newPath();
    const made = await makeRepository(source, [{ message: "One", files: file("1") }]);
    await service.add({ name: "locked", url: source });
    const mirror = path.join(mirrors, "locked.git");
    for (const name of ["HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"]) {
      await writeFile(path.join(mirror, name), "");
    }
    const next = await runGit(source, ["commit-tree", "-p", made.head, "-m", "Two", "main^{tree}"]);
    await runGit(source, ["update-ref", "refs/heads/main", next]);
    await using restarted = await open(mirrors);
    expect((await restarted.resolve("locked", "main")).commit).toBe(next);
  });

  it("deletes the mirror with the repository, unless an open job needs it", async () => {
    const source = newPath();
    await makeRepository(source, [{ message: "One", files: file("1") }]);
    await service.add({ name: "team/gone", url: source });
    const insert = db
      .insertInto("jobs")
      .values({ queue: "default", spec: "{}", labels: "{}", repository: "team/gone", revision: "HEAD" });
    const { id } = await insert.returning("id").executeTakeFirstOrThrow();
    await expect(service.remove("team/gone")).rejects.toMatchObject({ code: "repository-in-use" });
    await db.deleteFrom("jobs").where("id", "=", id).execute();
    await service.remove("team/gone");
    expect(existsSync(path.join(mirrors, "team", "gone.git"))).toBe(false);
    await expect(service.get("team/gone")).rejects.toMatchObject({ code: "unknown-repository" });
  });
});
