import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { noProxies } from "@airlock/proxy";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ScriptedInstance, testSecret } from "../testing/scripted-instance.ts";
import { foreignJob } from "../testing/start-executor.ts";
import { executorEvents } from "./event-stream.ts";
import { InstanceClient } from "./instance-client.ts";
import type { Telemetry } from "./telemetry.ts";

let instance: ScriptedInstance;
let client: InstanceClient;

const signal = () => AbortSignal.timeout(5000);
const telemetry = { os: "linux", airlock: { slots: 1, labels: {}, draining: false } } as Telemetry;
const offer = { waitMs: 0, labels: {}, version: "5.3.0" };

beforeEach(async () => {
  instance = await ScriptedInstance.start();
  const queues = { kind: "several", names: ["batches", "codeintel"] } as const;
  client = new InstanceClient(
    { url: new URL(`${instance.url}/`), sharedSecret: testSecret, proxies: noProxies, queues },
    "host-1",
  );
});

afterEach(async () => {
  await client.close();
  await instance[Symbol.asyncDispose]();
});

it("the client takes jobs of several queues and distinguishes them even if their ids are equal", async () => {
  instance.enqueue(foreignJob(42, ["true"], { queue: "batches" }));
  instance.enqueue(foreignJob(42, ["true"], { queue: "codeintel" }));
  const jobs = [await client.dequeue(offer, signal()), await client.dequeue(offer, signal())].filter(
    (job) => job !== undefined,
  );
  instance.intervene = ({ path }) =>
    path === "/.executors/queue/heartbeat"
      ? { status: 200, body: { knownIds: ["42-batches"], cancelIds: null } }
      : undefined;

  const news = await client.heartbeat(jobs, telemetry, signal(), 1000);
  await client.markComplete(jobs[1] ?? expect.fail(), {}, signal());

  expect(jobs.map(({ queue }) => queue)).toEqual(["batches", "codeintel"]);
  expect([...news.known]).toEqual(["batches/42"]);
  expect(instance.bodies("heartbeat").at(-1)).toMatchObject({
    queueNames: ["batches", "codeintel"],
    jobIdsByQueue: [
      { queueName: "batches", jobIds: ["42"] },
      { queueName: "codeintel", jobIds: ["42"] },
    ],
  });
  expect(instance.requests.at(-1)?.path).toBe("/.executors/queue/codeintel/markComplete");
});

it("the client never repeats the content of a job that it does not understand, since it may hold secrets", async () => {
  const job = JSON.stringify({ ...foreignJob(1, ["true"]), dockerSteps: [{ env: ["TOKEN=hunter2-hunter2"] }] });
  for (const text of [job.replace('"env"', "env"), job.replace(":1,", ":hunter2-hunter2,"), job.slice(0, -9), job]) {
    await using server = new AsyncDisposableStack();
    const http = createServer((_, response) => response.end(text)).listen(0, "127.0.0.1");
    server.defer(() => new Promise((resolve) => http.close(() => resolve())));
    await once(http, "listening");
    const url = new URL(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`);
    const other = new InstanceClient(
      { url, sharedSecret: testSecret, proxies: noProxies, queues: { kind: "one", name: "q" } },
      "host-1",
    );
    const error = await other.dequeue(offer, signal()).catch((thrown: unknown) => thrown);
    await other.close();
    expect(error).toBeInstanceOf(Error);
    expect(inspect(error, { depth: 10 })).not.toContain("hunter2");
  }
});

async function takenJob() {
  instance.enqueue(foreignJob(7, ["true"], { queue: "batches" }));
  return await client.dequeue(offer, signal());
}

it("the client reads the heartbeat's answer of every protocol version", async () => {
  const job = (await takenJob()) ?? expect.fail();
  for (const body of [["7-batches"], { knownIds: ["7-batches"] }, { knownIds: ["7-batches"], cancelIds: [] }]) {
    instance.intervene = ({ path }) => (path.endsWith("/heartbeat") ? { status: 200, body } : undefined);
    expect((await client.heartbeat([job], telemetry, signal(), 1000)).known.size).toBe(1);
  }
  for (const body of ["", "<html>", "1"]) {
    instance.intervene = ({ path }) => (path.endsWith("/heartbeat") ? { status: 200, body } : undefined);
    await expect(client.heartbeat([job], telemetry, signal(), 1000)).rejects.toThrow();
  }
});

it("the client treats null, which Go writes for an empty list, as an answer that names no job", async () => {
  const job = (await takenJob()) ?? expect.fail();
  for (const body of ["null", { knownIds: null }, { knownIds: null, cancelIds: null }]) {
    instance.intervene = ({ path }) => (path.endsWith("/heartbeat") ? { status: 200, body } : undefined);
    const news = await client.heartbeat([job], telemetry, signal(), 1000);
    expect([news.known.size, news.canceled.size]).toEqual([0, 0]);
  }
});

it("the client reports whether the executor's secret or the instance is at fault", async () => {
  instance.intervene = () => ({ status: 401, body: "" });
  await expect(client.testAuthentication(signal())).rejects.toMatchObject({
    hint: expect.stringContaining("Set EXECUTOR_FRONTEND_PASSWORD"),
  });
  instance.intervene = () => ({ status: 403, body: "the token is for another queue" });
  await expect(client.testAuthentication(signal())).rejects.toMatchObject({
    message: expect.stringContaining("refused: the token is for another queue"),
    hint: expect.stringContaining("EXECUTOR_QUEUE_NAMES"),
  });
  instance.intervene = () => ({ status: 500, body: "out of order" });
  await expect(client.testAuthentication(signal())).rejects.toThrow("500: out of order");
  await instance[Symbol.asyncDispose]();
  await expect(client.testAuthentication(signal())).rejects.toThrow(/no answer from the instance at http:\/\/127/);
});

it("the client reads an answer to its end once it has started, even after the wait is over: it holds a job", async () => {
  const text = JSON.stringify(foreignJob(1, ["x".repeat(100_000)], { queue: "batches" }));
  const abort = new AbortController();
  const slow = createServer((_, response) => {
    response.write(text.slice(0, 50_000));
    setTimeout(() => abort.abort(new Error("draining")), 50);
    setTimeout(() => response.end(text.slice(50_000)), 150);
  });
  await new Promise<void>((resolve) => slow.listen(0, "127.0.0.1", resolve));
  const url = new URL(`http://127.0.0.1:${(slow.address() as AddressInfo).port}/`);
  const other = new InstanceClient(
    { url, sharedSecret: testSecret, proxies: noProxies, queues: { kind: "one", name: "batches" } },
    "host-1",
  );

  const job = await other.dequeue(offer, abort.signal);

  expect(abort.signal.aborted).toBe(true);
  expect(job?.payload.dockerSteps[0]?.commands[0]).toHaveLength(100_000);
  await other.close();
  await new Promise((resolve) => slow.close(resolve));
});

it("the client reads events regardless of how the stream is split", async () => {
  const event = (id: number) =>
    `: note\r\nevent: x\r\ndata: {"kind":"cancel","jobId":${id},\ndata: "attempt":1}\r\n\r\n`;
  const text = `${event(1)}data: not json\n\ndata: {"kind":"other"}\n\n${event(2)}`;
  for (const size of [1, 7, 1000]) {
    const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
      Buffer.from(text.slice(i * size, (i + 1) * size)),
    );
    const seen: number[] = [];
    for await (const event of executorEvents(cut(pieces))) if (event.kind === "cancel") seen.push(event.jobId);
    expect(seen).toEqual([1, 2]);
  }
});

it("the client stops reading a stream that contains something other than events", async () => {
  const pieces = Array.from({ length: 3 }, () => Buffer.alloc(500_000, "x"));
  const read = async () => {
    for await (const _ of executorEvents(cut(pieces))) throw new Error("an event was read");
  };
  await expect(read()).rejects.toThrow("is not an event stream");
});

async function* cut(pieces: readonly Buffer[]) {
  yield* pieces;
}
