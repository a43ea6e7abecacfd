import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { asUser, describeWithEngines, runGit, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

const main = path.resolve(import.meta.dirname, "../main.ts");

/** Runs `airlock` in its own process. */
class Airlock {
  readonly child: ChildProcess;
  output = "";
  stdout = "";
  readonly ended: Promise<number | NodeJS.Signals>;

  constructor([file = "", ...args]: readonly string[], env: NodeJS.ProcessEnv, cwd: string) {
    this.child = spawn(file, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.on("data", (bytes) => {
      this.output += bytes;
      this.stdout += bytes;
    });
    this.child.stderr?.on("data", (bytes) => {
      this.output += bytes;
    });
    this.ended = once(this.child, "close").then(([code, signal]) => signal ?? code);
  }

  async says(text: string): Promise<void> {
    const ended = this.ended.then((code) => {
      throw new Error(`ended with ${code} before it said "${text}":\n${this.output}`);
    });
    ended.catch(() => undefined);
    while (!this.output.includes(text)) await Promise.race([delay(20), ended]);
  }
}

describeWithEngines(["oci"], "`airlock dev`", () => {
  let directory: TemporaryDirectory;
  let data: string;
  const environment: NodeJS.ProcessEnv = {};

  beforeAll(async () => {
    directory = await temporaryDirectory();
    data = path.join(directory.path, ".airlock");
    for (const [name, value] of Object.entries(process.env)) {
      if (!/^(?:AIRLOCK_|EXECUTOR_|NODE_|VITEST)/.test(name)) environment[name] = value;
    }
    environment.EXECUTOR_RUNTIME = "oci";
    // The jobs of these tests need no network. Without one they can't reach this machine's network either.
    environment.EXECUTOR_DEFAULT_EGRESS = "none";
  });
  afterAll(async () => {
    await directory[Symbol.asyncDispose]();
  });

  const started: Airlock[] = [];
  afterEach(async ({ task }) => {
    // The processes of a failed test must not affect the next one.
    for (const { child, ended, output } of started.splice(0)) {
      if (task.result?.state === "fail") console.error(output);
      child.kill("SIGINT");
      await ended;
    }
  });

  const airlock = (...args: readonly string[]) => {
    const running = new Airlock([process.execPath, main, ...args], environment, directory.path);
    started.push(running);
    return running;
  };
  const dev = (...args: readonly string[]) => airlock("dev", "--listen", "127.0.0.1:0", ...args);

  it("runs jobs, returns their exit codes, and leaves nothing behind after Ctrl-C", async () => {
    const running = dev();
    await running.says("Ctrl-C stops");
    const connection = JSON.parse(await readFile(path.join(data, "connection.json"), "utf8"));
    expect((await stat(path.join(data, "connection.json"))).mode & 0o777).toBe(0o600);
    expect(running.output).toContain(`${connection.url}/login#token=${connection.token}`);

    const submitted = airlock(
      "job",
      "submit",
      "--image",
      "host",
      "--follow",
      "--",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 3",
    );
    expect(await submitted.ended).toBe(3);
    expect(submitted.stdout).toBe("out\n");
    expect(submitted.output).toContain("err\n");
    expect(submitted.output).toContain('failed: step "main" exited with 3');

    const second = dev();
    expect(await second.ended).toBe(1);
    expect(second.output).toContain(`the data directory ${data} is in use`);
    expect((await fetch(`${connection.url}/healthz`)).status).toBe(200);

    running.child.kill("SIGINT");
    expect(await running.ended).toBe(0);
    expect(await leftBehind(data)).toEqual([]);
    expect(await readdir(data)).not.toContain("connection.json");
  });

  it("stays up when its only executor is drained, and runs jobs again once the executor is resumed", async () => {
    const running = dev();
    await running.says("Ctrl-C stops");
    const connection = JSON.parse(await readFile(path.join(data, "connection.json"), "utf8"));
    const headers = { authorization: `Bearer ${connection.token}` };
    const api = new URL("api/v1/", connection.url);
    const { executors } = (await (await fetch(new URL("executors", api), { headers })).json()) as {
      executors: { name: string; active: boolean }[];
    };
    const name = executors.find(({ active }) => active)?.name ?? "";
    expect(await airlock("executors", "drain", name).ended).toBe(0);
    const list = airlock("executors", "list");
    expect(await list.ended).toBe(0);
    expect(list.stdout).toContain(" drained ");
    const submitted = airlock("job", "submit", "--image", "host", "--follow", "--", "echo", "resumed");
    await submitted.says("can be resumed");
    expect(await airlock("executors", "resume", name).ended).toBe(0);
    expect(await submitted.ended).toBe(0);
    expect(submitted.stdout).toBe("resumed\n");
    expect((await fetch(new URL("healthz", connection.url))).status).toBe(200);
    running.child.kill("SIGINT");
    expect(await running.ended).toBe(0);
    expect(running.output).not.toContain("error:");
  });

  it("runs jobs with an executor token of one queue if the shared secret is off", async () => {
    const off = { ...environment, AIRLOCK_SHARED_SECRET: "false" };
    const start = (args: readonly string[], env: NodeJS.ProcessEnv) => {
      const running = new Airlock([process.execPath, main, ...args], env, directory.path);
      started.push(running);
      return running;
    };
    const args = ["dev", "--listen", "127.0.0.1:0"];
    const several = start(args, { ...off, EXECUTOR_QUEUE_NAMES: "default,batches" });
    expect(await several.ended).toBe(2);
    expect(several.output).toContain("Set EXECUTOR_QUEUE_NAME to one queue");

    const running = start(args, off);
    await running.says("Ctrl-C stops");
    const submitted = airlock("job", "submit", "--image", "host", "--follow", "--", "echo", "hello");
    expect(await submitted.ended).toBe(0);
    expect(submitted.stdout).toBe("hello\n");
    const list = airlock("executor-token", "list");
    expect(await list.ended).toBe(0);
    expect(list.stdout).toMatch(/airlock dev +default /);
    running.child.kill("SIGINT");
    expect(await running.ended).toBe(0);
  });

  it("runs the working tree of a checkout with --dirty", async () => {
    const checkout = path.join(directory.path, "checkout");
    await mkdir(checkout);
    const git = (...args: readonly string[]) => runGit(checkout, args);
    await git("init", "--quiet");
    for (const name of ["changed", "gone", "script"]) await writeFile(path.join(checkout, name), "old\n");
    await writeFile(path.join(checkout, ".gitignore"), ".env\n");
    await git("add", "--all");
    await git("commit", "--quiet", "-m", "one");
    await writeFile(path.join(checkout, "changed"), "new\n");
    await rm(path.join(checkout, "gone"));
    await chmod(path.join(checkout, "script"), 0o755);
    await symlink("changed", path.join(checkout, "link"));
    await writeFile(path.join(checkout, ".env"), "PASSWORD=secret\n");
    const running = dev();
    await running.says("Ctrl-C stops");

    const command = "cat changed; readlink link; test -x script; ls -A; git log --format=%s";
    const submit = ["job", "submit", "--repo", checkout, "--dirty", "--depth", "full", "--image", "host", "--follow"];
    const submitted = airlock(...submit, "--", "sh", "-ec", command);

    expect(await submitted.ended).toBe(0);
    expect(submitted.stdout.split("\n")).toEqual([
      "new",
      "changed",
      ".git",
      ".gitignore",
      "changed",
      "link",
      "script",
      "Working tree of a submitted job",
      "one",
      "",
    ]);
    expect(submitted.output).toContain("the job includes uncommitted changes: 3 changed, 1 untracked (");
  });

  it("lets a client follow a log over a connection that breaks repeatedly", async () => {
    const running = dev();
    await running.says("Ctrl-C stops");
    const { url, token } = JSON.parse(await readFile(path.join(data, "connection.json"), "utf8"));
    const sockets = new Set<Socket>();
    const proxy = createServer((client) => {
      const upstream = connect(Number(new URL(url).port), "127.0.0.1");
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(from);
        from.on("data", (bytes) => to.write(bytes));
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
      }
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    let cuts = 0;
    const cutter = setInterval(() => {
      if (sockets.size > 0) cuts += 1;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    }, 300);

    const script = "for round in 1 2 3 4 5 6 7 8; do seq $round 5000; sleep 0.25; done; exit 4";
    const submitted = airlock("job", "submit", "--image", "host", "--json", "--", "sh", "-c", script);
    await submitted.ended;
    const { id } = JSON.parse(submitted.stdout);
    const { port } = proxy.address() as AddressInfo;
    const followed = new Airlock(
      [process.execPath, main, "job", "logs", String(id), "--follow"],
      { ...environment, AIRLOCK_URL: `http://127.0.0.1:${port}`, AIRLOCK_TOKEN: token },
      directory.path,
    );
    started.push(followed);
    const code = await followed.ended;
    clearInterval(cutter);
    proxy.close();

    expect(code).toBe(4);
    expect(cuts).toBeGreaterThan(3);
    const rounds = Array.from({ length: 8 }, (_, round) =>
      Array.from({ length: 5000 - round }, (_, index) => `${round + 1 + index}\n`).join(""),
    );
    expect(followed.stdout === rounds.join("")).toBe(true);
  });

  it("runs one job with --once and exits with the job's code", async () => {
    const job = path.join(directory.path, "job.yaml");
    await writeFile(job, "steps:\n  - { key: hello, image: host, run: 'echo hello from a sandbox; exit 5' }\n");
    const running = dev("--job", job, "--once");
    expect(await running.ended).toBe(5);
    expect(running.stdout).toBe("hello from a sandbox\n");
    expect(await leftBehind(data)).toEqual([]);
  });

  it("runs one job for a user other than root, and warns once that its limits are not enforced", async () => {
    const nobody = 65_534;
    await using place = await temporaryDirectory();
    await chown(place.path, nobody, nobody);
    const job = path.join(place.path, "job.yaml");
    await writeFile(job, "steps:\n  - { key: hello, image: host, run: 'echo hello without root; exit 5' }\n");
    const args = ["dev", "--listen", "127.0.0.1:0", "--job", job, "--once"];
    const command = await asUser(nobody, place.path, [process.execPath, main, ...args]);
    const running = new Airlock(command, { ...environment, HOME: place.path }, place.path);
    started.push(running);

    expect(await running.ended).toBe(5);
    expect(running.stdout).toBe("hello without root\n");
    const warnings = running.output.match(/^.*EXECUTOR_UNENFORCED_LIMITS=none.*$/gm);
    expect(warnings).toEqual([expect.stringContaining("Jobs run without limits for cpu, memory, pids")]);
  });

  it("cancels its job on Ctrl-C, so that the job does not run at the next start", async () => {
    const job = path.join(directory.path, "long.yaml");
    await writeFile(job, "steps:\n  - { key: long, image: host, run: 'echo started; sleep 600' }\n");
    const running = dev("--job", job, "--once");
    await running.says("started\n");
    running.child.kill("SIGINT");
    expect(await running.ended).toBe(130);
    expect(await leftBehind(data)).toEqual([]);

    const next = dev();
    await next.says("Ctrl-C stops");
    const list = airlock("job", "list", "--json");
    await list.ended;
    next.child.kill("SIGTERM");
    expect(await next.ended).toBe(0);
    expect(JSON.parse(list.stdout).jobs[0]).toMatchObject({ state: "canceled", stepKeys: ["long"] });
  });

  it.each([50, 300, 700, 1200])("can be interrupted %i ms into its start", async (ms) => {
    const running = dev();
    await delay(ms);
    running.child.kill("SIGINT");
    expect([0, 130, "SIGINT"]).toContain(await running.ended);
    expect(await leftBehind(data)).toEqual([]);
  });

  it("stops the other programs and exits with 1 when the executor dies", async () => {
    const running = dev();
    await running.says("Ctrl-C stops");
    const executor = (await leftBehind(data, 0)).find(({ command }) => command.includes("apps/executor/src/main.ts"));
    process.kill(executor?.pid ?? 0, "SIGKILL");
    expect(await running.ended).toBe(1);
    expect(running.output).toContain("the executor was killed by SIGKILL");
    expect(await leftBehind(data)).toEqual([]);
  });

  it("reports which port is in use and how to choose another", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const running = airlock("dev", "--listen", `127.0.0.1:${port}`);
    expect(await running.ended).toBe(1);
    server.close();
    expect(running.output).toContain(`cannot listen on 127.0.0.1:${port}: the port is in use`);
    expect(running.output).toContain("AIRLOCK_LISTEN");
    expect(await leftBehind(data)).toEqual([]);
  });

  // These tests come last: a job that was handed back runs at the next start.
  it.each(["idle", "at work"])("stops its programs when it is killed while %s", async (state) => {
    const job = path.join(directory.path, "long.yaml");
    await writeFile(job, "steps:\n  - { key: long, image: host, run: 'echo started; sleep 600' }\n");
    const running = state === "idle" ? dev() : dev("--job", job);
    await running.says(state === "idle" ? "Ctrl-C stops" : "started\n");
    // Check that the search finds instance, database and executor while they run.
    expect((await leftBehind(data, 0)).length).toBeGreaterThanOrEqual(3);
    running.child.kill("SIGKILL");
    expect(await running.ended).toBe("SIGKILL");
    expect(await leftBehind(data, 20_000)).toEqual([]);
  });
});

interface Process {
  readonly pid: number;
  readonly command: string;
}

/** Processes that use the data directory. Waits until there are none, or until `waitMs` have passed. */
async function leftBehind(data: string, waitMs = 5000): Promise<Process[]> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const found = await processesOf(data);
    if (found.length === 0 || performance.now() >= deadline) return found;
    await delay(50);
  }
}

/**
 * Finds processes by command line, environment or a mount of the data directory. A leaked mount would also show in this
 * process's own mounts.
 */
async function processesOf(data: string): Promise<Process[]> {
  const found: Process[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const read = (file: string) => readFile(`/proc/${name}/${file}`, "utf8").catch(() => "");
    const command = (await read("cmdline")).replaceAll("\0", " ").trim();
    const traces = [command, await read("environ"), await read("mountinfo")];
    if (traces.some((trace) => trace.includes(data))) found.push({ pid: Number(name), command });
  }
  return found;
}
