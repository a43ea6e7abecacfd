import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, foreignJob, startExecutor } from "../testing/start-executor.ts";

/** Node fires timers of more than 24.8 days after 1 ms, and refuses timeout signals of more than 49.7 days. */
const longDurations = ["30d", "50d", "365d"];

let instance: ScriptedInstance;
let dataDir: string;
let repositoriesDir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dataDir = stack.use(await temporaryDirectory()).path;
  repositoriesDir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir }));
});

afterEach(() => stack.disposeAsync());

async function start(env: Record<string, string>, runtime = new HostProcessRuntime()) {
  return stack.use(await startExecutor({ url: instance.url, dataDir, runtime, env }));
}

const ends = () =>
  instance.requests.filter(({ path }) => path.includes("/mark")).map(({ path }) => path.split("/").at(-1));
const hasEnded = () => ends().length > 0;
const outputOf = (id: number) => instance.output(id, "step.docker.only");

describe.each(longDurations)("a duration of %s", (duration) => {
  it("as the drain timeout lets running jobs end", async () => {
    const executor = await start({ EXECUTOR_DRAIN_TIMEOUT: duration });
    instance.enqueue(airlockJob(1, ["echo started", "sleep 1"]));
    await instance.until(() => outputOf(1).includes("started"));
    executor.stop.drain("the test asks for it");
    await instance.until(hasEnded);
    expect(ends()).toEqual(["markComplete"]);
  });

  it("as the delivery timeout lets log and outcome arrive after failed requests", async () => {
    await start({ EXECUTOR_DELIVERY_TIMEOUT: duration });
    let failures = 2;
    instance.intervene = ({ path }) => {
      const fails = (path.endsWith("/logs") || path.includes("/mark")) && failures > 0;
      if (fails) failures -= 1;
      return fails ? { status: 503 } : undefined;
    };
    instance.enqueue(airlockJob(1, ["echo done"]));
    await instance.until(() => ends().filter((end) => end === "markComplete").length > 0 && failures === 0);
    expect(outputOf(1)).toBe("done\n");
  });

  it("as the delivery timeout lets a job go on past its lease", async () => {
    await start({ EXECUTOR_DELIVERY_TIMEOUT: duration });
    const job = airlockJob(1, ["echo started", "sleep 2", "echo done"]);
    instance.enqueue({
      ...job,
      airlock: {
        ...job.airlock,
        attempt: 1,
        leaseMs: 500,
        heartbeatIntervalMs: 100,
        timeoutMs: null,
        resources: {},
        capabilities: ["attempts", "log-batch"],
      },
    });
    await instance.until(() => outputOf(1).includes("started"));
    instance.intervene = () => "drop";
    await sleep(1500);
    instance.intervene = () => undefined;
    await instance.until(hasEnded);
    expect([ends(), outputOf(1).endsWith("done\n")]).toEqual([["markComplete"], true]);
  });

  it("as the cleanup interval does not make cleanups run all the time", async () => {
    const runtime = new HostProcessRuntime();
    let rounds = 0;
    runtime.collect = async () => {
      rounds += 1;
      return { sandboxes: 0, details: [] };
    };
    // Answers at once instead of when a job comes, so that the executor asks again after its poll interval.
    instance.intervene = ({ path }) => (path.endsWith("/dequeue") ? { status: 204 } : undefined);
    await start({ EXECUTOR_CLEANUP_TASK_INTERVAL: duration }, runtime);
    await instance.until(() => instance.bodies("dequeue").length > 10);
    expect(rounds).toBe(1);
  });

  it("as the maximum runtime, the job's timeout and the lease ends no job", async () => {
    await start({ EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: duration });
    const job = airlockJob(1, ["sleep 0.5"]);
    const ms = Number.parseInt(duration, 10) * 86_400_000;
    instance.enqueue({
      ...job,
      airlock: {
        attempt: 1,
        leaseMs: ms,
        heartbeatIntervalMs: ms,
        timeoutMs: ms,
        resources: {},
        capabilities: ["attempts", "log-batch"],
      },
    });
    await instance.until(hasEnded);
    expect(ends()).toEqual(["markComplete"]);
  });

  it("as the executor's maximum active time does not end it", async () => {
    const executor = await start({ EXECUTOR_MAX_ACTIVE_TIME: duration });
    instance.enqueue(foreignJob(1, ["true"]));
    await instance.until(hasEnded);
    const ended = await Promise.race([executor.ended.then(() => true), sleep(300, false)]);
    expect([ends(), ended]).toEqual([["markComplete"], false]);
  });

  it("as the checkout timeout lets repositories be fetched", async () => {
    const { head } = await makeRepository(join(repositoriesDir, "app"), [
      { message: "one", files: [{ path: "a", content: "a" }] },
    ]);
    await start({ EXECUTOR_MAXIMUM_CHECKOUT_TIME: duration });
    instance.enqueue(foreignJob(1, ["cat a"], { repositoryName: "app", commit: head }));
    await instance.until(hasEnded);
    expect(ends()).toEqual(["markComplete"]);
  });

  it("as the polling interval makes no executor poll all the time", async () => {
    await start({ EXECUTOR_QUEUE_POLL_INTERVAL: duration });
    await instance.until(() => instance.bodies("dequeue").length > 0);
    await sleep(500);
    expect(instance.bodies("dequeue")).toHaveLength(1);
  });
});
