import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, describeWithEngines, engines, InstanceProcess, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CutWay } from "../testing/cut-way.ts";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { startExecutor } from "../testing/start-executor.ts";

interface ShownJob {
  readonly id: number;
  readonly state: string;
  readonly attempts: readonly { readonly attempt: number; readonly state: string }[];
}

describeWithEngines(["postgres"], "an executor whose instance is killed", () => {
  let stack: AsyncDisposableStack;
  let dir: string;
  let instance: InstanceProcess;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    instance = stack.use(
      await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
    );
    await instance.rest("PATCH", "/queues/default", { leaseMs: 3000 });
  }, 30_000);
  afterEach(() => stack.disposeAsync(), 30_000);

  const show = async (id: number) => (await instance.rest("GET", `/jobs/${id}`)) as ShownJob;
  const submit = async (run: string) =>
    ((await instance.rest("POST", "/jobs", { steps: [{ key: "main", image: "test", run }] })) as ShownJob).id;
  const logOf = async (id: number) => (await instance.rest("GET", `/jobs/${id}/logs`)) as string;

  it("finishes its job past the lease, and delivers log and outcome once the instance is back, without loss or duplicates", async () => {
    const runtime = new HostProcessRuntime();
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime }));
    const id = await submit("echo started; sleep 1; seq 200000; sleep 2; echo last");
    await expect.poll(async () => await logOf(id), { timeout: 10_000 }).toContain("started");
    await instance.kill();
    // Longer than the lease, and until the job has ended.
    await sleep(5000);
    expect(runtime.liveSandboxes).toBe(0);
    await instance.restart();

    await expect.poll(async () => (await show(id)).state, { timeout: 15_000 }).toBe("completed");

    const numbers = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join("");
    const log = await logOf(id);
    expect(log.split(`started\n${numbers}last\n`)).toHaveLength(2);
    expect(log).toContain("teardown.fs");
    expect((await show(id)).attempts.map(({ state }) => state)).toEqual(["completed"]);
  }, 60_000);

  it("can't change a job that another executor took over while the first was cut off from the instance", async () => {
    const way = stack.use(await CutWay.to(instance.url));
    const [first, second] = ["first", "second"].map(
      (name) => new HostProcessRuntime({ dir: join(dir, name, "workspaces") }),
    ) as [HostProcessRuntime, HostProcessRuntime];
    const cutOff = stack.use(await startExecutor({ url: way.url, dataDir: join(dir, "first"), runtime: first }));
    const id = await submit(`echo "started in $PWD"; sleep 6; echo "last in $PWD"`);
    await expect.poll(async () => await logOf(id), { timeout: 10_000 }).toContain("started");
    way.cut();
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "second"), runtime: second }));
    await expect.poll(() => second.liveSandboxes, { timeout: 15_000 }).toBe(1);
    // Wait until the job has ended: the first executor has a log and a result to report, but can't reach the instance.
    await expect.poll(() => first.liveSandboxes, { timeout: 10_000 }).toBe(0);
    way.repair();

    await expect.poll(async () => (await show(id)).state, { timeout: 20_000 }).toBe("completed");
    await expect
      .poll(() => cutOff.logLines.join(""), { timeout: 10_000 })
      .toMatch(/refused the job's result|abandoned/);

    expect((await show(id)).attempts.map(({ state }) => state)).toEqual(["errored", "completed"]);
    const log = await logOf(id);
    expect(log.match(/last in/g)).toHaveLength(1);
    expect(log).toContain(join(dir, "second"));
    expect((await instance.rest("GET", `/jobs/${id}/logs?attempt=1`)) as string).not.toContain("last in");
  }, 60_000);
});
