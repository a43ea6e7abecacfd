import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

let stack: AsyncDisposableStack;
let instance: ScriptedInstance;
let dataDir: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dataDir = await mkdtemp(join(tmpdir(), "airlock-resuming-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  instance = stack.use(await ScriptedInstance.start());
});
afterEach(() => stack.disposeAsync());

async function start() {
  const executor = stack.use(await startExecutor({ url: instance.url, dataDir }));
  await instance.until(() => instance.bodies("dequeue").length > 0);
  return executor;
}

/** Answers heartbeats like an instance with this request. */
function answerHeartbeats(airlock: object | undefined) {
  instance.intervene = ({ path, body }) =>
    path.endsWith("/heartbeat")
      ? { status: 200, body: { knownIds: (body.jobIds ?? []).map(String), cancelIds: [], airlock } }
      : undefined;
}

const reports = () => instance.bodies("heartbeat").map(({ airlock }) => airlock);
const paused = () => reports().at(-1)?.paused === true;
const completed = (id: number) => () => instance.bodies("markComplete").some(({ jobId }) => jobId === id);

describe("an executor that the instance drains", () => {
  it("finishes its job, takes no new one while it is drained, and takes jobs again when it is resumed", async () => {
    const executor = await start();
    instance.enqueue(airlockJob(1, ["sleep 1", "echo done"]));
    await instance.until(() => instance.entries(1).some(({ key }) => key === "step.docker.only"));
    answerHeartbeats({ drain: true, stay: true });
    await instance.until(paused);
    expect(reports().at(-1)).toMatchObject({ draining: false, paused: true });
    await instance.until(completed(1));
    const polls = instance.bodies("dequeue").length;
    instance.enqueue(airlockJob(2, ["true"]));
    const beats = reports().length;
    await instance.until(() => reports().length > beats);
    expect(instance.bodies("dequeue")).toHaveLength(polls);

    answerHeartbeats(undefined);
    await instance.until(completed(2));

    expect(instance.output(1, "step.docker.only")).toBe("done\n");
    executor.stop.drain("test");
    await executor.ended;
  });

  it("is drained and resumed by the event stream before the next heartbeat", async () => {
    await start();
    instance.enqueue(airlockJob(1, ["true"]));
    await instance.until(completed(1));
    await instance.until(() => instance.requests.some(({ path }) => path.endsWith("/events")));
    answerHeartbeats({ drain: true, stay: true });
    instance.sendEvent({ kind: "drain", stay: true });
    await instance.until(paused);
    const polls = instance.bodies("dequeue").length;

    answerHeartbeats(undefined);
    instance.sendEvent({ kind: "resume" });

    await instance.until(() => instance.bodies("dequeue").length > polls);
    expect(reports().at(-1)).toMatchObject({ draining: false });
  });

  it("still exits on a signal while it is drained", async () => {
    const executor = await start();
    answerHeartbeats({ drain: true, stay: true });
    await instance.until(paused);

    executor.stop.drain("test");

    await executor.ended;
  });

  it("exits if the instance cannot resume it", async () => {
    const executor = await start();
    answerHeartbeats({ drain: true });

    await executor.ended;
  });

  it("still exits if the instance resumes it after the executor began its own drain", async () => {
    const executor = await start();
    instance.enqueue(airlockJob(1, ["sleep 1"]));
    await instance.until(() => instance.entries(1).some(({ key }) => key === "step.docker.only"));
    executor.stop.drain("test");
    answerHeartbeats(undefined);
    instance.sendEvent({ kind: "resume" });
    instance.enqueue(airlockJob(2, ["true"]));

    await executor.ended;

    expect(instance.jobs).toHaveLength(1);
    expect(reports().some((report) => report?.draining)).toBe(true);
  });
});
