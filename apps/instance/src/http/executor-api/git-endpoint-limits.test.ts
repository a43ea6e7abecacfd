import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  runGit,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { childrenNamed, residentBytes } from "../../testing/processes.ts";
import { jobHeaders, type TakenJob } from "../../testing/test-instance.ts";

const megabyte = 1024 * 1024;
const blobs = 10;
const blobBytes = 30 * megabyte;

describeWithEngines(["postgres"], "the git endpoint under load", () => {
  const suite = new AsyncDisposableStack();
  let directory: TemporaryDirectory;
  let instance: InstanceProcess;
  let head: string;

  beforeAll(async () => {
    const database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    directory = suite.use(await temporaryDirectory());
    const source = path.join(directory.path, "large");
    head = await makeLargeRepository(source);
    instance = suite.use(
      await InstanceProcess.start({
        databaseUrl: database.url,
        dataDirectory: path.join(directory.path, "data"),
        env: { AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" },
      }),
    );
    expect((await rest("/repositories", { name: "team/large", url: source })).status).toBe(201);
  }, 120_000);
  afterAll(() => suite.disposeAsync());

  const rest = (route: string, body: object) =>
    fetch(`${instance.url}/api/v1${route}`, {
      method: "POST",
      headers: { authorization: `Bearer ${instance.administratorToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  async function take(): Promise<TakenJob> {
    const job = { repository: "team/large", revision: "main", steps: [{ image: "alpine", run: "true" }] };
    expect((await rest("/jobs", job)).status).toBe(201);
    const response = await fetch(`${instance.url}/.executors/queue/default/dequeue`, {
      method: "POST",
      headers: { authorization: `token-executor ${instance.executorToken}`, "content-type": "application/json" },
      body: JSON.stringify({ executorName: "e", airlock: { waitMs: 5000 } }),
    });
    return (await response.json()) as TakenJob;
  }
  const address = () => `${instance.url}/.executors/git/team/large`;
  const credentials = (job: TakenJob) =>
    Object.entries(jobHeaders(job, "e")).flatMap(([name, value]) => ["-c", `http.extraHeader=${name}: ${value}`]);
  function post(job: TakenJob): ClientRequest {
    const client = request(`${address()}/git-upload-pack`, {
      method: "POST",
      agent: false,
      headers: { ...jobHeaders(job, "e"), "git-protocol": "version=2" },
    });
    client.on("error", () => {}); // The test disconnects.
    return client;
  }
  /** Maximum growth of the instance's memory during `work`. */
  async function growthDuring(work: () => Promise<void>): Promise<number> {
    const before = await residentBytes(instance.pid);
    let most = before;
    let over = false;
    const watch = (async () => {
      while (!over) {
        most = Math.max(most, await residentBytes(instance.pid));
        await sleep(20);
      }
    })();
    await work().finally(() => {
      over = true;
    });
    await watch;
    return most - before;
  }

  it("streams hundreds of megabytes in little memory", async () => {
    const job = await take();
    const clone = path.join(directory.path, "clone");
    await runGit(directory.path, ["init", "--quiet", clone]);
    const growth = await growthDuring(async () => {
      await runGit(clone, [...credentials(job), "fetch", "--quiet", "--depth=1", address(), head]);
    });
    const size = await runGit(clone, ["cat-file", "-s", `${head}:blob-${blobs - 1}`]);
    expect(Number(size)).toBe(blobBytes);
    expect(growth).toBeLessThan(100 * megabyte);
  }, 120_000);

  it("applies backpressure to a client that does not read, and stops when the client leaves", async () => {
    const job = await take();
    const client = post(job);
    let received = 0;
    const growth = await growthDuring(async () => {
      client.end(`${packet("command=fetch")}0001${packet(`want ${head}\n`)}${packet("done\n")}0000`);
      const [response] = (await once(client, "response")) as [IncomingMessage];
      // The first part of the pack has arrived; stop reading.
      while (received < megabyte) {
        const [data] = (await once(response, "data")) as [Buffer];
        received += data.length;
        if (received >= megabyte) response.pause();
      }
      await sleep(2500);
    });
    expect(growth).toBeLessThan(60 * megabyte);
    expect(await childrenNamed(instance.pid, "git")).toHaveLength(1);
    client.destroy();
    await expect.poll(() => childrenNamed(instance.pid, "git"), { timeout: 20_000 }).toEqual([]);
  }, 60_000);

  it("runs a limited number of git processes for one job while other jobs go on", async () => {
    const greedy = await take();
    const clients = Array.from({ length: 20 }, () => post(greedy));
    // Each sends half a request, so that git waits for the rest.
    for (const client of clients) client.write(packet("command=ls-refs\n"));
    await expect.poll(async () => (await childrenNamed(instance.pid, "git")).length, { timeout: 20_000 }).toBe(8);
    await sleep(300);
    expect(await childrenNamed(instance.pid, "git")).toHaveLength(8);
    const other = await take();
    const refs = await runGit(directory.path, [...credentials(other), "ls-remote", address(), "HEAD"]);
    expect(refs).toBe(`${head}\tHEAD`);
    for (const client of clients) client.destroy();
    await expect.poll(() => childrenNamed(instance.pid, "git"), { timeout: 20_000 }).toEqual([]);
    // The waiting requests were dropped, too: none of them starts now.
    expect(await runGit(directory.path, [...credentials(greedy), "ls-remote", address(), "HEAD"])).toBe(refs);
  }, 60_000);
});

const packet = (text: string) => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`;

/** Makes a repository of incompressible blobs. Returns its head commit. */
async function makeLargeRepository(directory: string): Promise<string> {
  await runGit(path.dirname(directory), ["init", "--quiet", "--bare", "--initial-branch=main", directory]);
  const config = ["-c", "core.compression=0", "-c", "core.bigFileThreshold=1m"];
  const git = spawn("git", [...config, "fast-import", "--quiet"], {
    cwd: directory,
    stdio: ["pipe", "ignore", "inherit"],
  });
  const noise = randomBytes(blobBytes);
  const who = "Fixture <fixture@example.com> 1767225600 +0000";
  git.stdin.write(`commit refs/heads/main\ncommitter ${who}\ndata 5\nLarge\n`);
  for (let index = 0; index < blobs; index++) {
    git.stdin.write(`M 644 inline blob-${index}\ndata ${blobBytes}\n`);
    // Each blob differs: the same noise, rotated.
    const start = index * megabyte;
    for (const part of [noise.subarray(start), noise.subarray(0, start)]) {
      if (!git.stdin.write(part)) await once(git.stdin, "drain");
    }
    git.stdin.write("\n");
  }
  git.stdin.end("done\n");
  const [code] = (await once(git, "close")) as [number];
  expect(code).toBe(0);
  return runGit(directory, ["rev-parse", "main"]);
}
