import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { type Intervention, ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, foreignJob, startExecutor } from "../testing/start-executor.ts";

let instance: ScriptedInstance;
let dataDir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dataDir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start());
});

afterEach(() => stack.disposeAsync());

async function start(env: Record<string, string> = {}, runtime?: HostProcessRuntime) {
  return stack.use(await startExecutor({ url: instance.url, dataDir, runtime, env }));
}

const shortLease = (id: number, commands: readonly string[]) => {
  const job = airlockJob(id, commands);
  return { ...job, airlock: { ...airlockDefaults, leaseMs: 1000 } };
};
const airlockDefaults = {
  attempt: 1,
  leaseMs: 10_000,
  heartbeatIntervalMs: 200,
  timeoutMs: null,
  resources: {},
  egress: "none" as const,
  capabilities: ["attempts", "log-batch", "log-notes", "events", "results"],
  shell: "strict" as const,
};
const away: Intervention = () => "drop";
const isReport = ({ path }: { readonly path: string }) => path.includes("/mark");
const started = (id: number) => () => instance.output(id, "step.docker.only").includes("started");

it("the executor continues a job past its lease while the instance is away, and delivers log and outcome afterwards", async () => {
  await start();
  // More output than fits into memory, so that some of it goes to disk.
  instance.enqueue(shortLease(1, ["echo started", "sleep 0.5", "seq 1000000", "echo between", "sleep 1", "echo last"]));
  await instance.until(started(1));
  instance.intervene = away;
  await sleep(4000);
  expect(instance.bodies("markComplete")).toEqual([]);
  instance.intervene = () => undefined;

  await instance.until(() => instance.bodies("markComplete").length > 0);
  await sleep(300);

  const numbers = Array.from({ length: 1_000_000 }, (_, index) => `${index + 1}\n`).join("");
  expect(instance.output(1, "step.docker.only") === `started\n${numbers}between\nlast\n`).toBe(true);
  expect(instance.entries(1).map(({ key, exitCode }) => [key, exitCode])).toContainEqual(["teardown.fs", 0]);
  expect(instance.requests.filter(isReport)).toHaveLength(1);
  expect(await readdir(join(dataDir, "spool")).catch(() => [])).toEqual([]);
}, 30_000);

it("the executor learns from the returning instance that another attempt runs, and stops its own without a report", async () => {
  const runtime = new HostProcessRuntime();
  const executor = await start({}, runtime);
  instance.enqueue(shortLease(2, ["echo started", "sleep 60"]));
  await instance.until(started(2));
  instance.intervene = away;
  await sleep(2000);
  expect(runtime.liveSandboxes).toBe(1);
  instance.requests.splice(0);
  instance.unknown.add(2);
  instance.intervene = () => undefined;
  const backAt = performance.now();

  await instance.until(() => runtime.liveSandboxes === 0);

  expect(performance.now() - backAt).toBeLessThan(2000);
  await instance.until(() => executor.logLines.some((line) => line.includes("abandoned")));
  expect(instance.requests.filter(isReport)).toEqual([]);
}, 20_000);

it("the executor accepts that a report is refused because another executor has the job, and does not repeat it", async () => {
  const executor = await start();
  instance.enqueue(shortLease(3, ["echo started", "sleep 1"]));
  await instance.until(started(3));
  instance.intervene = away;
  await instance.until(() => executor.logLines.some((line) => line.includes("heartbeat failed")));
  await sleep(2500);
  instance.requests.splice(0);
  const lapsed = { code: "lapsed-attempt", error: "attempt 1 is not running", entryId: 0, expectedOffset: 0 };
  instance.intervene = ({ path }) => {
    if (path.endsWith("/logs")) return { status: 409, body: lapsed };
    return path.includes("/mark") ? { status: 404, body: "null" } : undefined;
  };

  await instance.until(() => executor.logLines.some((line) => line.includes("refused the job's result")));
  await sleep(500);

  expect(instance.requests.filter(isReport)).toHaveLength(1);
}, 20_000);

it("the executor stops a job if the instance stays away for longer than the delivery timeout", async () => {
  const runtime = new HostProcessRuntime();
  const executor = await start({ EXECUTOR_DELIVERY_TIMEOUT: "2s" }, runtime);
  instance.enqueue(shortLease(4, ["echo started", "sleep 60"]));
  await instance.until(started(4));
  instance.intervene = away;
  const startedAt = performance.now();

  await instance.until(() => runtime.liveSandboxes === 0);

  expect(performance.now() - startedAt).toBeGreaterThan(1500);
  expect(performance.now() - startedAt).toBeLessThan(4000);
  await instance.until(() => executor.logLines.some((line) => line.includes("abandoned")));
  expect(instance.requests.filter(isReport)).toEqual([]);
}, 20_000);

it("the executor stops a job when its lease expires, if it must not wait or if the instance refuses heartbeats", async () => {
  for (const [id, env, answer] of [
    [5, { EXECUTOR_DELIVERY_TIMEOUT: "0" }, "drop"],
    [6, {}, { status: 403, body: "no" }],
  ] as const) {
    const runtime = new HostProcessRuntime();
    instance.intervene = () => undefined;
    await using own = await startExecutor({ url: instance.url, dataDir: join(dataDir, String(id)), runtime, env });
    instance.enqueue(shortLease(id, ["echo started", "sleep 60"]));
    await instance.until(started(id));
    instance.intervene = ({ path }) => (path.endsWith("/heartbeat") ? answer : undefined);
    const startedAt = performance.now();

    await instance.until(() => runtime.liveSandboxes === 0);

    expect(performance.now() - startedAt).toBeLessThan(3000);
    await instance.until(() => own.logLines.some((line) => line.includes("abandoned")));
  }
  expect(instance.requests.filter(isReport)).toEqual([]);
}, 20_000);

it("the executor does not wait forever for an instance that refuses the log's end: the job's result is kept", async () => {
  const executor = await start();
  instance.intervene = ({ path }) => (path.endsWith("/logs") ? { status: 422, body: "no" } : undefined);
  instance.enqueue(airlockJob(7, ["echo lost"]));

  await instance.until(() => instance.bodies("markComplete").length === 1);

  expect(executor.logLines.join("")).toContain("the job's result is not affected");
  const counted = 'airlock_executor_logs_incomplete_total{queue=\\"default\\"} 1';
  await instance.until(() => JSON.stringify(instance.bodies("heartbeat")).includes(counted));
}, 20_000);

it("the executor sends whole entries again to an instance of the protocol that was away when the job ended", async () => {
  await start();
  instance.enqueue(foreignJob(8, ["echo started", "sleep 1", "echo last"]));
  await instance.until(started(8));
  instance.intervene = away;
  await sleep(3000);
  instance.requests.splice(0);
  instance.intervene = () => undefined;

  await instance.until(() => instance.bodies("markComplete").length === 1);

  expect(instance.output(8, "step.docker.only")).toContain("stdout: last\n");
  expect(instance.entries(8).at(-1)).toMatchObject({ key: "teardown.fs", exitCode: 0 });
}, 20_000);
