import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { buffer } from "node:stream/consumers";
import {
  createDatabase,
  describeWithEngines,
  engines,
  type FixtureRepository,
  makeRepository,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { childrenNamed } from "../../testing/processes.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "the git endpoint", () => {
  let target: TestInstance;
  let directory: TemporaryDirectory;
  let own: FixtureRepository;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    const commits = Array.from({ length: 30 }, (_, index) => ({
      message: `Commit ${index}`,
      files: [{ path: `file-${index}`, content: `${index} `.repeat(20_000) }],
    }));
    own = await makeRepository(`${directory.path}/own`, commits);
    await makeRepository(`${directory.path}/other`, [{ message: "x", files: [{ path: "secret", content: "secret" }] }]);
    target = await startTestInstance(await newDatabase());
    await target.rest("POST", "/repositories", { name: "team/own", url: own.path });
    await target.rest("POST", "/repositories", { name: "team/other", url: `${directory.path}/other` });
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    await target.submit({ repository: "team/own" });
    const response = await target.executor("queue/default/dequeue", { executorName: "e", airlock: { waitMs: 1000 } });
    return (await response.json()) as TakenJob;
  }
  async function git(
    args: readonly string[],
    job?: TakenJob,
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const headers = job ? Object.entries(jobHeaders(job, "e")) : [];
    const config = headers.flatMap(([name, value]) => ["-c", `http.extraHeader=${name}: ${value}`]);
    const child = spawn("git", [...config, ...args], {
      env: { PATH: "/usr/bin:/bin", HOME: "/nonexistent", GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, "close")]);
    return { code: child.exitCode ?? -1, stdout: stdout.toString(), stderr: stderr.toString() };
  }
  const url = (name: string) => `${target.url}/.executors/git/${name}`;
  let clones = 0;
  async function newClone(): Promise<string> {
    const path = `${directory.path}/clone-${++clones}`;
    await git(["init", "--quiet", path]);
    return path;
  }

  it("serves a single commit by its SHA, at depth 1, to the job's token", async () => {
    const job = await take();
    const clone = await newClone();
    const old = own.commits[3] ?? "";
    for (const sha of [own.head, old]) {
      const fetched = await git(["-C", clone, "fetch", "--no-tags", "--depth=1", url("team/own"), sha], job);
      expect(fetched).toMatchObject({ code: 0 });
    }
    expect((await git(["-C", clone, "rev-list", "--count", own.head])).stdout).toBe("1\n");
    expect((await git(["-C", clone, "cat-file", "-p", `${old}:file-3`])).stdout).toContain("3 3 3");
  });

  it("serves partial fetches, and clients of protocol versions 0 and 1", async () => {
    const job = await take();
    const clone = await newClone();
    const partial = ["-C", clone, "fetch", "--depth=1", "--filter=blob:none", url("team/own"), own.head];
    expect((await git(partial, job)).stderr).not.toContain("filtering not recognized");
    for (const version of ["0", "1"]) {
      const args = ["-c", `protocol.version=${version}`, "ls-remote", url("team/own"), "HEAD"];
      expect((await git(args, job)).stdout).toBe(`${own.head}\tHEAD\n`);
    }
  });

  it("refuses other repositories, pushes and callers without a valid token", async () => {
    const job = await take();
    expect((await git(["ls-remote", url("team/other")], job)).stderr).toContain("403");
    expect((await git(["ls-remote", url("team/own/../other")], job)).stderr).toMatch(/403|404/);
    expect((await git(["ls-remote", url("team/own")])).stderr).toMatch(/401|could not read Username/);
    expect((await git(["ls-remote", url("team%2Fother")], job)).stderr).toMatch(/403|404/);
    const clone = await newClone();
    await git(["-C", clone, "fetch", url("team/own"), own.head], job);
    expect((await git(["-C", clone, "push", url("team/own"), `${own.head}:refs/heads/x`], job)).stderr).toContain(
      "403",
    );
    const mark = { executorName: "e", jobId: job.id };
    await target.executor("queue/default/markComplete", mark, jobHeaders(job, "e"));
    expect((await git(["ls-remote", url("team/own")], job)).stderr).toMatch(
      /401|could not read Username|Authentication/,
    );
  });

  it("accepts compressed requests, and refuses one that expands too much", async () => {
    const job = await take();
    const { gzipSync } = await import("node:zlib");
    const post = (body: Uint8Array<ArrayBuffer>) =>
      fetch(`${url("team/own")}/git-upload-pack`, {
        method: "POST",
        headers: {
          ...jobHeaders(job, "e"),
          "content-type": "application/x-git-upload-pack-request",
          "content-encoding": "gzip",
          "git-protocol": "version=2",
        },
        body,
      });
    const packet = (text: string) => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`;
    const lsRefs = `${packet("command=ls-refs\n")}0001${packet("ref-prefix HEAD\n")}0000`;
    const answer = await post(new Uint8Array(gzipSync(lsRefs)));
    expect(await answer.text()).toContain(`${own.head} HEAD`);
    const bomb = await post(new Uint8Array(gzipSync(Buffer.alloc(200 * 1024 * 1024)))).then(
      (response) => response.arrayBuffer().then(() => response.status),
      () => "cut off",
    );
    expect(bomb).not.toBe(500);
  });

  it("gives a partial clone its missing objects on demand", async () => {
    const job = await take();
    const clone = await newClone();
    await git(["-C", clone, "remote", "add", "origin", url("team/own")]);
    const partial = ["-C", clone, "fetch", "--no-tags", "--filter=blob:none", "origin", own.head];
    expect(await git(partial, job)).toMatchObject({ code: 0 });
    const missing = await git(["-C", clone, "rev-list", "--objects", "--missing=print", own.head]);
    expect(missing.stdout.split("\n").filter((line) => line.startsWith("?"))).toHaveLength(30);
    expect((await git(["-C", clone, "cat-file", "-p", `${own.head}:file-7`], job)).stdout).toContain("7 7 7");
    // Patterns from the repository itself are refused: the repository's author could make them arbitrarily expensive.
    const sparse = [
      "-C",
      await newClone(),
      "fetch",
      `--filter=sparse:oid=${own.head}:file-1`,
      url("team/own"),
      own.head,
    ];
    expect((await git(sparse, job)).stderr).toContain("not supported");
  });

  it("answers every other request with a fitting error status and starts no git process", async () => {
    const job = await take();
    const headers = jobHeaders(job, "e");
    const status = async (method: string, route: string, more: Record<string, string> = {}) => {
      const response = await fetch(`${target.url}/.executors/git/${route}`, {
        method,
        headers: { ...headers, ...more },
        ...(method === "POST" ? { body: "0000" } : {}),
      });
      await response.arrayBuffer();
      return response.status;
    };
    const service = "?service=git-upload-pack";
    expect(await status("GET", `team/own/info/refs${service}`)).toBe(200);
    expect(await status("HEAD", `team/own/info/refs${service}`)).toBe(200);
    // The dumb protocol and writes are refused.
    for (const query of ["", "?service=", "?service=git-receive-pack", "?service=git-upload-archive"]) {
      expect([query, await status("GET", `team/own/info/refs${query}`)]).toEqual([query, 403]);
    }
    for (const file of ["HEAD", "config", "objects/info/packs", "objects/pack/x.pack", "airlock-identity"]) {
      expect([file, await status("GET", `team/own/${file}`)]).toEqual([file, 404]);
    }
    for (const route of ["git-receive-pack", "git-upload-archive", "git-upload-pack/x"]) {
      expect([route, await status("POST", `team/own/${route}`)]).toEqual([route, 404]);
    }
    for (const method of ["OPTIONS", "PUT", "DELETE", "PATCH"]) {
      expect([method, await status(method, "team/own/git-upload-pack")]).toEqual([method, 404]);
    }
    for (const encoding of ["compress", "gzip, gzip", "x"]) {
      expect(await status("POST", "team/own/git-upload-pack", { "content-encoding": encoding })).toBe(415);
    }
    for (const name of [
      "team%2Fother",
      "team/own%2F..%2Fother",
      "team/own/%2e%2e/other",
      "team//other",
      "team/other.git",
      "team/own.git",
      "team%5Cother",
      "team/own%00",
      "%2Fetc",
      "team/other%0a",
      `team/${"x".repeat(900)}`,
    ]) {
      expect([name, await status("GET", `${name}/info/refs${service}`)]).toEqual([
        name,
        expect.toSatisfy((code: number) => [400, 403, 404].includes(code)),
      ]);
    }
  });

  it("finds repositories for callers with the legacy shared secret only by their exact names", async () => {
    await using legacy = await startTestInstance(await newDatabase(), { legacySharedSecret: true });
    await legacy.rest("POST", "/repositories", { name: "team/own", url: own.path });
    const status = async (name: string) => {
      const response = await fetch(`${legacy.url}/.executors/git/${name}/info/refs?service=git-upload-pack`, {
        headers: { authorization: `token-executor ${legacy.instance.executorToken}` },
      });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await status("team/own")).toBe(200);
    for (const name of ["team/none", "..%2f..%2fteam/own", "%2e%2e", "team/own%00", "-x", ".home", "team/own%0a"]) {
      expect([name, await status(name)]).toEqual([
        name,
        expect.toSatisfy((code: number) => code === 404 || code === 400),
      ]);
    }
  });

  it("stops its git process when the client hangs up", async () => {
    const job = await take();
    // Other git processes may end at any time. Only the one that this client started counts.
    const before = new Set(await childrenNamed(process.pid, "git"));
    const begun = async () => (await childrenNamed(process.pid, "git")).filter((pid) => !before.has(pid));
    const client = request(`${url("team/own")}/git-upload-pack`, {
      method: "POST",
      headers: { ...jobHeaders(job, "e"), "git-protocol": "version=2" },
    });
    client.on("error", () => {});
    // Half a request, so that git waits for the rest.
    client.write("0014command=ls-refs\n");
    await expect.poll(begun, { timeout: 20_000 }).toHaveLength(1);
    const [pid = 0] = await begun();
    client.destroy();
    const goesOn = async () => (await childrenNamed(process.pid, "git")).includes(pid);
    await expect.poll(goesOn, { timeout: 20_000 }).toBe(false);
  });
});
