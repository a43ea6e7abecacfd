import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, describeWithEngines, engines, InstanceProcess, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { testSecret } from "../testing/scripted-instance.ts";
import { workspacesIn } from "../testing/workspaces-in.ts";

interface ShownJob {
  readonly id: number;
  readonly state: string;
  readonly attempts: readonly { readonly state: string; readonly startedAt: string; readonly failureReason: string }[];
}

const leaseMs = 3000;

describeWithEngines(["oci", "docker", "postgres"], "an executor that is killed", () => {
  let stack: AsyncDisposableStack;
  let dir: string;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
  });
  afterEach(() => stack.disposeAsync(), 30_000);

  async function startProgram(url: string, name: string, runtime: "oci" | "docker" = "oci") {
    const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts"), "run"], {
      stdio: "ignore",
      env: {
        PATH: process.env.PATH ?? "",
        EXECUTOR_FRONTEND_URL: url,
        EXECUTOR_FRONTEND_PASSWORD: testSecret,
        EXECUTOR_QUEUE_NAME: "default",
        EXECUTOR_DATA_DIR: join(dir, name),
        EXECUTOR_ALLOW_HOST_IMAGE: "true",
        EXECUTOR_RUNTIME: runtime,
        DOCKER_HOST: `unix://${engines().docker?.socketPath ?? ""}`,
      },
    });
    const end = async (signal: NodeJS.Signals) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, "exit");
    };
    stack.defer(() => end("SIGKILL"));
    return end;
  }

  /** How many workspaces an executor has. */
  async function workspacesOf(name: string): Promise<number> {
    return (await workspacesIn(join(dir, name))).length;
  }

  it("has its job restarted by another executor within the lease and 2 s, with two instances on one database", async () => {
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const instances: InstanceProcess[] = [];
    for (let index = 0; index < 2; index += 1) {
      instances.push(
        stack.use(
          await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, `instance-${index}`) }),
        ),
      );
    }
    const [first = expect.fail(), last = first] = instances;
    await first.rest("PATCH", "/queues/default", { leaseMs });
    const killed = await startProgram(first.url, "killed");
    const { id } = (await last.rest("POST", "/jobs", {
      steps: [{ key: "main", image: "host", run: "echo here; sleep 6; echo > file; ls" }],
      egress: "none",
    })) as ShownJob;
    const show = async () => (await last.rest("GET", `/jobs/${id}`)) as ShownJob;
    const logOfFirst = async () => (await last.rest("GET", `/jobs/${id}/logs?attempt=1`)) as string;
    await expect.poll(logOfFirst, { timeout: 20_000 }).toContain("here");
    const alive = await startProgram(last.url, "alive");
    const known = async () => ((await last.rest("GET", "/executors")) as { executors: unknown[] }).executors.length;
    await expect.poll(known, { timeout: 20_000 }).toBe(2);
    // Kill it between two heartbeats, while most of the lease remains.
    await sleep(500);
    const killedAt = Date.now();
    await killed("SIGKILL");

    await expect.poll(async () => (await show()).attempts.length, { timeout: leaseMs + 10_000 }).toBe(2);

    const [lost, next] = (await show()).attempts;
    expect(lost).toMatchObject({ state: "errored", failureReason: "lease-lost" });
    const waitedMs = Date.parse(next?.startedAt ?? "") - killedAt;
    expect(waitedMs).toBeGreaterThan(leaseMs / 3);
    expect(waitedMs).toBeLessThan(leaseMs + 2000);
    // The instance keeps the log of the killed attempt.
    expect(await logOfFirst()).toContain("here");
    // The successor collects what the killed executor left, including the sandbox, but nothing of the other executor.
    const successor = await startProgram(first.url, "killed");
    await expect.poll(() => workspacesOf("killed"), { timeout: 20_000 }).toBe(0);
    expect(await workspacesOf("alive")).toBe(1);
    expect(await show()).toMatchObject({ state: "processing" });
    await expect.poll(async () => (await show()).state, { timeout: 20_000 }).toBe("completed");
    expect(await last.rest("GET", `/jobs/${id}/logs`)).toContain("file");
    await alive("SIGTERM");
    await successor("SIGTERM");
  }, 60_000);

  it.each(["oci", "docker"] as const)(
    "runs no second copy of its step on %s, and canceling the job ends the one copy",
    async (runtime) => {
      const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
      const instance = stack.use(
        await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
      );
      await instance.rest("PATCH", "/queues/default", { leaseMs });
      const killed = await startProgram(instance.url, "killed", runtime);
      const seconds = String(100_000 + randomBytes(4).readUInt32LE());
      const run = `trap '' TERM HUP; setsid sh -c 'sleep ${seconds}; true' & sleep ${seconds}`;
      const { id } = (await instance.rest("POST", "/jobs", {
        steps: [{ image: "host", run }],
        egress: "none",
      })) as ShownJob;
      const show = async () => (await instance.rest("GET", `/jobs/${id}`)) as ShownJob;
      const copies = async () => (await sleepersFor(seconds)).length / 2;
      await expect.poll(copies, { timeout: 20_000 }).toBe(1);
      const alive = await startProgram(instance.url, "alive", runtime);
      await killed("SIGKILL");

      const counted: number[] = [];
      await expect
        .poll(
          async () => {
            counted.push(await copies());
            const { attempts } = await show();
            return attempts.length === 2 && counted.at(-1) === 1;
          },
          { timeout: leaseMs + 20_000, interval: 200 },
        )
        .toBe(true);

      expect(Math.max(...counted)).toBeLessThanOrEqual(1);
      expect(counted).toContain(0);
      await instance.rest("POST", `/jobs/${id}/cancel`);
      await expect.poll(copies, { timeout: 20_000 }).toBe(0);
      await alive("SIGTERM");
      // Gives back what the first one had mounted.
      const successor = await startProgram(instance.url, "killed", runtime);
      await expect.poll(() => workspacesOf("killed"), { timeout: 20_000 }).toBe(0);
      await successor("SIGTERM");
    },
    90_000,
  );
});

/** Ids of the processes of this machine that sleep for so long. */
async function sleepersFor(seconds: string): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const words = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return pids.filter((_, index) => words[index] === `sleep\0${seconds}\0`);
}
