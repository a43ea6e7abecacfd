import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { compileCacheEnvironment, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

/** A start creates a database cluster, which takes most of a minute on a machine that is busy with other things. */
const startTimeoutMs = 120_000;

describe("the instance as a program", { timeout: 3 * startTimeoutMs }, () => {
  let directory: TemporaryDirectory;
  const children: ChildProcess[] = [];
  beforeEach(async () => {
    directory = await temporaryDirectory();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await once(child, "exit");
      }
    }
    await directory[Symbol.asyncDispose]();
  });

  function start(args: readonly string[], env: Record<string, string> = {}) {
    const child = spawn(process.execPath, [main, ...args], {
      env: {
        PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        ...compileCacheEnvironment(),
        AIRLOCK_LOG_LEVEL: "warn",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    return child;
  }
  async function ended(child: ReturnType<typeof start>): Promise<{ code: number | null; stderr: string }> {
    const [stderr, code] = await Promise.all([
      text(child.stderr),
      new Promise<number | null>((resolve) => child.once("exit", resolve)),
    ]);
    return { code, stderr };
  }
  const dataDirectory = () => path.join(directory.path, "data");
  const args = (...more: string[]) => ["--listen", "127.0.0.1:0", "--data-dir", dataDirectory(), ...more];
  async function url(): Promise<string> {
    const file = path.join(dataDirectory(), "instance.json");
    await expect.poll(() => existsSync(file), { timeout: startTimeoutMs }).toBe(true);
    return (JSON.parse(await readFile(file, "utf8")) as { url: string }).url;
  }

  it("starts with only a data directory, prints its address, and shuts down cleanly on a signal", async () => {
    const child = start(args());
    const at = await url();
    expect(await (await fetch(`${at}/healthz`)).text()).toBe("ok\n");
    for (const name of ["token", "executor-token"]) {
      const file = path.join(dataDirectory(), name);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect((await readFile(file, "utf8")).trim().length).toBeGreaterThanOrEqual(20);
    }
    const token = (await readFile(path.join(dataDirectory(), "token"), "utf8")).trim();
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${at}/api/v1/jobs`, { headers })).status).toBe(200);
    // As in a terminal with a supervisor: both send a signal.
    child.kill("SIGINT");
    child.kill("SIGTERM");
    expect(await ended(child)).toEqual({ code: 0, stderr: "" });
    const left = await readdir(dataDirectory());
    expect(left).not.toContain("instance.json");
    expect(left).not.toContain("lock");
    expect(left).not.toContain("postgres-runtime");
    await expect(fetch(`${at}/healthz`)).rejects.toThrow();
  });

  it("keeps its data after SIGKILL, although a killed instance can't hand its jobs back", async () => {
    const killed = start(args());
    const before = await url();
    const token = (await readFile(path.join(dataDirectory(), "token"), "utf8")).trim();
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const body = JSON.stringify({ steps: [{ image: "alpine", run: "true" }] });
    expect((await fetch(`${before}/api/v1/jobs`, { method: "POST", headers, body })).status).toBe(201);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    start(args());
    await expect.poll(async () => (await url()) !== before, { timeout: startTimeoutMs }).toBe(true);
    const { jobs } = (await (await fetch(`${await url()}/api/v1/jobs`, { headers })).json()) as { jobs: unknown[] };
    expect(jobs).toMatchObject([{ id: 1, state: "queued" }]);
  });

  it("recovers when its database is killed: a waiting poll gets a job that is queued afterwards", async () => {
    start(args(), { AIRLOCK_LOG_LEVEL: "silent" });
    const at = await url();
    const token = (await readFile(path.join(dataDirectory(), "token"), "utf8")).trim();
    const secret = (await readFile(path.join(dataDirectory(), "executor-token"), "utf8")).trim();
    const post = (route: string, authorization: string, body: unknown) =>
      fetch(`${at}${route}`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const poll = { executorName: "patient", airlock: { waitMs: 60_000 } };
    const waiting = post("/.executors/queue/default/dequeue", `token-executor ${secret}`, poll);
    await expect
      .poll(async () => (await (await fetch(`${at}/metrics`)).text()).includes("airlock_dequeue_parked 1"), {
        timeout: startTimeoutMs,
      })
      .toBe(true);
    const pidFile = path.join(dataDirectory(), "postgres", "postmaster.pid");
    process.kill(Number((await readFile(pidFile, "utf8")).split("\n")[0]), "SIGKILL");
    const statuses = new Set<number>();
    const submit = async () => {
      const job = { steps: [{ image: "alpine", run: "true" }] };
      const { status } = await post("/api/v1/jobs", `Bearer ${token}`, job);
      statuses.add(status);
      return status;
    };
    await expect.poll(submit, { timeout: startTimeoutMs }).toBe(201);
    expect([...statuses].filter((status) => status !== 201 && status !== 503)).toEqual([]);
    expect(await (await waiting).json()).toMatchObject({ airlock: { attempt: 1 } });
    expect((await fetch(`${at}/healthz`)).status).toBe(200);
  });

  it("needs a database's address to migrate one", async () => {
    const { code, stderr } = await ended(start(["migrate"]));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^airlock: there is no database to migrate\n {2}Set AIRLOCK_DATABASE_URL/);
  });

  it("refuses a data directory that another instance uses, and leaves that instance alone", async () => {
    start(args());
    const at = await url();
    const second = await ended(start(args()));
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^airlock: the data directory .* is in use by process \d+\n {2}Stop that instance/);
    expect(second.stderr).not.toContain("    at ");
    expect((await fetch(`${at}/healthz`)).status).toBe(200);
  });

  it("reports in one line that the port is in use, and leaves nothing running", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    try {
      const result = await ended(start(["--listen", `127.0.0.1:${port}`, "--data-dir", dataDirectory()]));
      expect(result).toEqual({
        code: 1,
        stderr: expect.stringMatching(/^airlock: cannot listen on 127\.0\.0\.1:\d+: the port is in use\n {2}Stop the/),
      });
    } finally {
      taken.close();
    }
    expect(await readdir(dataDirectory())).not.toContain("postgres-runtime");
  });

  it.each([
    ["a wrong address", ["--listen", "nowhere"], {}, /AIRLOCK_LISTEN: "nowhere" is not HOST:PORT/],
    ["a short token", [], { AIRLOCK_TOKEN: "short" }, /AIRLOCK_TOKEN: at least 20 characters/],
    ["an invalid boolean", [], { AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "maybe" }, /REPOSITORIES: must be true or false/],
    [
      "an unreachable database",
      [],
      { AIRLOCK_DATABASE_URL: "postgres://x:y@127.0.0.1:9/z" },
      /cannot connect to the database: .*ECONNREFUSED/,
    ],
  ])("reports in one line what is wrong with %s", async (_title, extra, env, problem) => {
    const result = await ended(start([...args(), ...(extra as string[])], env as Record<string, string>));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(problem);
    expect(result.stderr).not.toContain("    at ");
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(2);
  });

  it("suggests the right flag for a misspelled one and exits with 2", async () => {
    const result = await ended(start([...args(), "--lisen", "x"]));
    expect(result).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--lisen'\n\(Did you mean --listen\?\)\n.*--help/),
    });
    expect((await ended(start([...args(), "more"]))).code).toBe(2);
  });

  it("prints examples and every setting with --help", async () => {
    const child = start(["--help"]);
    const [help, { code }] = await Promise.all([text(child.stdout), ended(child)]);
    expect(code).toBe(0);
    expect(help).toMatch(/--listen <HOST:PORT>[\s\S]*Examples:\n {2}airlock-instance --listen[\s\S]*AIRLOCK_S3_BUCKET/);
  });

  it("reports an error when the data directory is a file", async () => {
    await mkdir(directory.path, { recursive: true });
    await writeFile(dataDirectory(), "");
    const result = await ended(start(args()));
    expect(result).toEqual({ code: 1, stderr: expect.stringMatching(/^airlock: cannot use the data directory/) });
  });
});
