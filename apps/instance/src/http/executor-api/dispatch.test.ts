import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../test-instance.ts";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "dispatch over HTTP", () => {
  let target: TestInstance;
  let queues = 0;
  beforeAll(async () => {
    target = await startTestInstance(await newDatabase());
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function newQueue(settings: Record<string, unknown> = {}, at = target): Promise<string> {
    const name = `queue-${++queues}`;
    expect((await at.rest("POST", "/queues", { name, ...settings })).status).toBe(201);
    return name;
  }
  function poll(
    queue: string,
    options: { waitMs?: number; labels?: Record<string, string>; executorName?: string; at?: TestInstance } = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const { waitMs = 10_000, labels = {}, executorName = "executor-1", at = target } = options;
    const body = { executorName, airlock: { waitMs, labels, capabilities: [] } };
    return at.executor(`queue/${queue}/dequeue`, body, undefined, signal);
  }
  const parked = async (at = target): Promise<number> => {
    const metrics = await (await fetch(`${at.url}/metrics`)).text();
    return Number(/^airlock_dequeue_parked (\d+)$/m.exec(metrics)?.[1]);
  };

  it("wakes a parked long poll as soon as a job is queued", async () => {
    const queue = await newQueue();
    const waiting = poll(queue);
    await expect.poll(() => parked()).toBe(1);
    const startedAt = performance.now();
    const id = await target.submit({ queue });
    const response = await waiting;
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(await response.json()).toMatchObject({ id, airlock: { attempt: 1, leaseMs: 15_000, egress: "none" } });
    expect(await parked()).toBe(0);
  });

  it("answers 204 when the wait is over, and at once to an executor that does not ask to wait", async () => {
    const queue = await newQueue();
    const startedAt = performance.now();
    expect((await poll(queue, { waitMs: 300 })).status).toBe(204);
    expect(performance.now() - startedAt).toBeGreaterThan(290);
    const foreign = performance.now();
    expect((await target.executor(`queue/${queue}/dequeue`, { executorName: "old", version: "5.3.0" })).status).toBe(
      204,
    );
    expect(performance.now() - foreign).toBeLessThan(250);
  });

  it("gives each job to one of many waiters, and lets the others wait on", async () => {
    const queue = await newQueue();
    const polls = Array.from({ length: 20 }, (_, index) =>
      poll(queue, { waitMs: 1500, executorName: `executor-${index}` }),
    );
    await expect.poll(() => parked()).toBe(20);
    const ids = await Promise.all(Array.from({ length: 7 }, () => target.submit({ queue })));
    const responses = await Promise.all(polls);
    const taken = await Promise.all(responses.filter((one) => one.status === 200).map((one) => one.json()));
    expect((taken as TakenJob[]).map((job) => job.id).sort((a, b) => a - b)).toEqual(ids.sort((a, b) => a - b));
    expect(responses.filter((one) => one.status === 204)).toHaveLength(13);
  });

  it("frees the waiter of a client that hangs up, and the next job goes to somebody who is there", async () => {
    const queue = await newQueue();
    const gone = new AbortController();
    const lost = poll(queue, { executorName: "gone" }, gone.signal).catch(() => null);
    await expect.poll(() => parked()).toBe(1);
    gone.abort();
    await lost;
    await expect.poll(() => parked()).toBe(0);
    const id = await target.submit({ queue });
    expect(await (await poll(queue)).json()).toMatchObject({ id });
  });

  it("hands out the highest priority first, then the oldest", async () => {
    const queue = await newQueue();
    const low = await target.submit({ queue, priority: -1 });
    const first = await target.submit({ queue });
    const second = await target.submit({ queue });
    const high = await target.submit({ queue, priority: 5 });
    const order: number[] = [];
    for (let index = 0; index < 4; index++) order.push(((await (await poll(queue)).json()) as TakenJob).id);
    expect(order).toEqual([high, first, second, low]);
  });

  it("gives a job with labels only to an executor that offers each of them", async () => {
    const queue = await newQueue();
    const id = await target.submit({ queue, labels: { arch: "arm64", gpu: "yes" } });
    expect((await poll(queue, { waitMs: 0 })).status).toBe(204);
    expect((await poll(queue, { waitMs: 0, labels: { arch: "arm64" } })).status).toBe(204);
    expect((await poll(queue, { waitMs: 0, labels: { arch: "amd64", gpu: "yes" } })).status).toBe(204);
    const plain = poll(queue, { waitMs: 400 });
    const suited = await poll(queue, { labels: { arch: "arm64", gpu: "yes", zone: "b" } });
    expect(await suited.json()).toMatchObject({ id });
    expect((await plain).status).toBe(204);
  });

  it("takes the most urgent job over several queues and names its queue", async () => {
    const [one, two] = [await newQueue(), await newQueue()];
    await target.submit({ queue: one });
    const urgent = await target.submit({ queue: two, priority: 1 });
    const body = { executorName: "multi", queues: [one, two], airlock: { waitMs: 0 } };
    expect(await (await target.executor("queue/dequeue", body)).json()).toMatchObject({ id: urgent, queue: two });
  });

  it("hands an errored job out again when its back-off is over, without a new notice", async () => {
    const queue = await newQueue();
    const id = await target.submit({ queue });
    const job = (await (await poll(queue)).json()) as TakenJob;
    const body = { executorName: "executor-1", jobId: id, attempt: 1, errorMessage: "disk full", reason: "runtime" };
    const marked = await target.executor(`queue/${queue}/markErrored`, body, jobHeaders(job, "executor-1"));
    expect(marked.status).toBe(204);
    const view = (await (await target.rest("GET", `/jobs/${id}`)).json()) as { explanation: { code: string } };
    expect(view.explanation.code).toBe("back-off");
    const again = (await (await poll(queue)).json()) as TakenJob;
    expect([again.id, again.airlock.attempt]).toEqual([id, 2]);
  });

  it("starts the next attempt of a silent executor within two seconds of its lease's end", async () => {
    const queue = await newQueue({ leaseMs: 2000 });
    const id = await target.submit({ queue });
    expect((await poll(queue, { executorName: "silent" })).status).toBe(200);
    const startedAt = performance.now();
    const job = (await (await poll(queue)).json()) as TakenJob;
    expect([job.id, job.airlock.attempt]).toEqual([id, 2]);
    expect(performance.now() - startedAt).toBeLessThan(4000);
    expect(performance.now() - startedAt).toBeGreaterThan(1500);
  });

  it("brings a cancellation to the executor's stream at once, and to one that connects later", async () => {
    const queue = await newQueue();
    const id = await target.submit({ queue });
    await poll(queue, { executorName: "streaming" });
    const connect = async () => {
      const response = await fetch(`${target.url}/.executors/events?executorName=streaming`, {
        headers: { authorization: `token-executor ${target.instance.executorToken}` },
      });
      return response.body?.pipeThrough(new TextDecoderStream()).getReader();
    };
    const early = await connect();
    expect((await early?.read())?.value).toBe(": connected\n\n");
    const startedAt = performance.now();
    await target.rest("POST", `/jobs/${id}/cancel`);
    const event = `data: {"kind":"cancel","jobId":${id},"attempt":1}\n\n`;
    expect((await early?.read())?.value).toBe(event);
    expect(performance.now() - startedAt).toBeLessThan(500);
    await early?.cancel();
    const late = await connect();
    let text = "";
    while (!text.includes("data:")) text += (await late?.read())?.value ?? "";
    expect(text).toContain(event);
    await late?.cancel();
  });

  it("works with two instances on one database: a poll at one gets the job that was queued at the other", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using one = await startTestInstance({ url: database.url });
    await using two = await startTestInstance({ url: database.url });
    const waiting = poll("default", { at: one });
    await expect.poll(() => parked(one)).toBe(1);
    const startedAt = performance.now();
    const id = await two.submit();
    const job = (await (await waiting).json()) as TakenJob;
    // Well before the sweep that would find it without a notice.
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(job.id).toBe(id);
    // Its end may be reported to either.
    const body = { executorName: "executor-1", jobId: id, attempt: 1 };
    expect((await two.executor("queue/default/markComplete", body, jobHeaders(job, "executor-1"))).status).toBe(204);

    // Many jobs and polls at both: each job goes to exactly one.
    const polls = [one, two].flatMap((at, side) =>
      Array.from({ length: 15 }, (_, index) =>
        poll("default", { at, executorName: `e-${side}-${index}`, waitMs: 5000 }),
      ),
    );
    const ids = await Promise.all(Array.from({ length: 30 }, (_, index) => (index % 2 ? one : two).submit()));
    const taken = await Promise.all(polls.map(async (response) => ((await (await response).json()) as TakenJob).id));
    expect(new Set(taken)).toEqual(new Set(ids));
  });

  it("lets parked polls and streams go when it stops", async () => {
    const stopped = await startTestInstance(await newDatabase());
    const waiting = poll("default", { at: stopped, waitMs: 60_000 });
    const stream = await stopped.rest("GET", "/events");
    await expect.poll(() => parked(stopped)).toBe(1);
    const startedAt = performance.now();
    await stopped[Symbol.asyncDispose]();
    expect((await waiting).status).toBe(204);
    await stream.text();
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });
});
