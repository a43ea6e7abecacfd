import { spawn } from "node:child_process";
import { once } from "node:events";
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

describeWithEngines(["oci", "postgres"], "an executor that is killed", () => {
  let stack: AsyncDisposableStack;
  let dir: string;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
  });
  afterEach(() => stack.disposeAsync(), 30_000);

  async function startProgram(url: string, name: string) {
    const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts"), "run"], {
      stdio: "ignore",
      env: {
        PATH: process.env.PATH ?? "",
        EXECUTOR_FRONTEND_URL: url,
        EXECUTOR_FRONTEND_PASSWORD: testSecret,
        EXECUTOR_QUEUE_NAME: "default",
        EXECUTOR_DATA_DIR: join(dir, name),
        EXECUTOR_ALLOW_HOST_IMAGE: "true",
        EXECUTOR_RUNTIME: "oci",
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

  it("has its job started again by another one within the lease and 2 s, with two instances on one database", async () => {
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
    const workspaces = async (name: string) => (await workspacesIn(join(dir, name))).length;
    await expect.poll(() => workspaces("killed"), { timeout: 20_000 }).toBe(0);
    expect(await workspaces("alive")).toBe(1);
    expect(await show()).toMatchObject({ state: "processing" });
    await expect.poll(async () => (await show()).state, { timeout: 20_000 }).toBe("completed");
    expect(await last.rest("GET", `/jobs/${id}/logs`)).toContain("file");
    await alive("SIGTERM");
    await successor("SIGTERM");
  }, 60_000);
});
