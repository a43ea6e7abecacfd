import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

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
    expect(await response.json()).toMatchObject({ id, airlock: { attempt: 1, leaseMs: 15_000 } });
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

  it("gives each job to one waiting executor and lets the others wait on", async () => {
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

  it("gives the next job to a connected executor after another waiting client hung up", async () => {
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

  it("gives a job with labels only to an executor that offers all of them", async () => {
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

  it("picks among several queues by weight, starves none and names the queue", async () => {
    const [heavy, light, empty] = [await newQueue({ weight: 9 }), await newQueue(), await newQueue({ weight: 1000 })];
    await Promise.all(
      Array.from({ length: 60 }, async () => {
        await target.submit({ queue: heavy });
        await target.submit({ queue: light });
      }),
    );
    const body = { executorName: "multi", queues: [heavy, light, empty], airlock: { waitMs: 0 } };
    const taken: (string | undefined)[] = [];
    for (let index = 0; index < 60; index++) {
      taken.push(((await (await target.executor("queue/dequeue", body)).json()) as TakenJob).queue);
    }
    const fromLight = taken.filter((queue) => queue === light).length;
    // 6 are expected. A result outside of these bounds occurs once in millions of runs.
    expect(fromLight).toBeGreaterThan(0);
    expect(fromLight).toBeLessThan(22);
    expect(taken).not.toContain(empty);
  });

  it("takes turns between namespaces among jobs of the same priority", async () => {
    const queue = await newQueue();
    const mine: number[] = [];
    for (let index = 0; index < 6; index++) mine.push(await target.submit({ queue, namespace: "a" }));
    const order: string[] = [];
    const take = async () => {
      const { id } = (await (await poll(queue, { waitMs: 0 })).json()) as TakenJob;
      order.push(mine.includes(id) ? "a" : "b");
    };
    await take();
    await take();
    // A late namespace with its whole backlog neither waits behind the first one nor catches up.
    for (let index = 0; index < 3; index++) await target.submit({ queue, namespace: "b" });
    for (let index = 0; index < 7; index++) await take();
    expect(order.join("")).toBe("aaababab" + "a");
  });

  it("gives a job only to an executor with enough resources", async () => {
    const queue = await newQueue();
    const id = await target.submit({ queue, resources: { cpus: 2, memory: "8Gi", disk: "20G" } });
    const ask = (offer: object) => target.executor(`queue/${queue}/dequeue`, { executorName: "sized", ...offer });
    const enough = { airlock: {}, version: "5.3.0", numCPUs: 2, memory: "12G", diskSpace: "20G" };
    for (const little of [{ numCPUs: 1 }, { memory: "4G" }, { diskSpace: "10G" }]) {
      expect((await ask({ ...enough, ...little })).status).toBe(204);
    }
    expect(await (await ask(enough)).json()).toMatchObject({ id });
  });

  it("enforces the limits of a queue and its namespaces across all executors", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using one = await startTestInstance({ url: database.url });
    await using two = await startTestInstance({ url: database.url });
    const queue = await newQueue({ concurrencyLimit: 5, namespaceConcurrencyLimit: 3 }, one);
    for (let index = 0; index < 10; index++) {
      await one.submit({ queue, namespace: "a" });
      await one.submit({ queue, namespace: "b" });
    }
    const storm = async () => {
      const responses = await Promise.all(
        Array.from({ length: 24 }, (_, index) =>
          poll(queue, { at: index % 2 ? one : two, waitMs: 0, executorName: `storm-${index}` }),
        ),
      );
      return Promise.all(responses.filter((one) => one.status === 200).map((one) => one.json() as Promise<TakenJob>));
    };
    const running = async () => {
      const list = (await (await one.rest("GET", `/jobs?state=processing&limit=100`)).json()) as {
        jobs: { id: number; executor: string }[];
      };
      return list.jobs;
    };
    const first = await storm();
    expect(first).toHaveLength(5);
    expect(await storm()).toEqual([]);
    const ended = first[0];
    const holder = (await running()).find((job) => job.id === ended?.id)?.executor ?? "";
    // A parked poll at the other instance gets the slot that becomes free.
    const waiting = poll(queue, { at: two, waitMs: 5000, executorName: "next" });
    await expect.poll(() => parked(two)).toBe(1);
    const body = { executorName: holder, jobId: ended?.id, attempt: 1 };
    if (!ended) throw new Error("nothing was taken");
    expect((await one.executor(`queue/${queue}/markComplete`, body, jobHeaders(ended, holder))).status).toBe(204);
    expect((await waiting).status).toBe(200);
    expect(await running()).toHaveLength(5);
    await one.rest("PATCH", `/queues/${queue}`, { concurrencyLimit: null });
    // Now 3 of each namespace run.
    expect(await storm()).toHaveLength(1);
    expect(await running()).toHaveLength(6);
  });

  it("hands out an errored job again when its back-off is over, without a new notification", async () => {
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

  it("starts the next attempt within two seconds after the lease of a silent executor expires", async () => {
    const queue = await newQueue({ leaseMs: 2000 });
    const id = await target.submit({ queue });
    expect((await poll(queue, { executorName: "silent" })).status).toBe(200);
    const startedAt = performance.now();
    const job = (await (await poll(queue)).json()) as TakenJob;
    expect([job.id, job.airlock.attempt]).toEqual([id, 2]);
    expect(performance.now() - startedAt).toBeLessThan(4000);
    expect(performance.now() - startedAt).toBeGreaterThan(1500);
  });

  it("sends a cancellation to the executor's stream at once, and to a stream that connects later", async () => {
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

  it("asks an executor to drain by heartbeat and stream, and gives it no further jobs", async () => {
    const queue = await newQueue();
    await target.submit({ queue });
    const beat = async (body: object) => {
      const response = await target.executor(`queue/${queue}/heartbeat`, { version: "V2", jobIds: [], ...body });
      return (await response.json()) as Record<string, unknown>;
    };
    const extended = { executorName: "drained", airlock: { slots: 1 } };
    expect(await beat(extended)).not.toHaveProperty("airlock");
    await beat({ executorName: "drained-old" });
    for (const name of ["drained", "drained-old"]) {
      expect((await target.rest("POST", `/executors/${name}/drain`)).status).toBe(200);
    }
    expect((await target.rest("POST", "/executors/nobody/drain")).status).toBe(404);
    expect(await beat(extended)).toMatchObject({ airlock: { drain: true } });
    // The drain request doesn't apply to the next process with the same name.
    const restarted = { executorName: "drained", airlock: { slots: 1, process: "2" } };
    expect(await beat(restarted)).not.toHaveProperty("airlock");
    expect(await beat(restarted)).not.toHaveProperty("airlock");
    expect((await target.rest("POST", "/executors/drained/drain")).status).toBe(200);
    expect(await beat(restarted)).toMatchObject({ airlock: { drain: true } });
    // The base protocol has no such member.
    expect(await beat({ executorName: "drained-old" })).not.toHaveProperty("airlock");
    const stream = await fetch(`${target.url}/.executors/events?executorName=drained`, {
      headers: { authorization: `token-executor ${target.instance.executorToken}` },
    });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("data:")) text += (await reader?.read())?.value ?? "";
    expect(text).toContain('data: {"kind":"drain"}');
    await reader?.cancel();
    for (const executorName of ["drained", "drained-old"]) {
      expect((await poll(queue, { executorName, waitMs: 0 })).status).toBe(204);
    }
    expect((await poll(queue, { executorName: "another", waitMs: 0 })).status).toBe(200);
  });

  it("resumes a drained executor by heartbeat and stream, and gives it jobs again", async () => {
    const queue = await newQueue();
    const beat = async (executorName: string, airlock?: object) => {
      const body = { version: "V2", jobIds: [], executorName, ...(airlock && { airlock }) };
      return (await (await target.executor(`queue/${queue}/heartbeat`, body)).json()) as Record<string, unknown>;
    };
    const rest = async (action: string) => {
      const response = await target.rest("POST", `/executors/${action}`);
      return { status: response.status, body: await response.json() };
    };
    const open = { slots: 1, process: "1", paused: false };
    await beat("resumed", open);
    // Nothing to resume yet.
    expect(await rest("resumed/resume")).toMatchObject({ status: 200, body: { draining: false, resumable: false } });
    expect(await rest("resumed/drain")).toMatchObject({ body: { drainRequested: true, resumable: true } });
    expect(await beat("resumed", open)).toMatchObject({ airlock: { drain: true, stay: true } });
    await beat("resumed", { ...open, paused: true });
    const stream = await fetch(`${target.url}/.executors/events?executorName=resumed`, {
      headers: { authorization: `token-executor ${target.instance.executorToken}` },
    });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const read = async (event: string) => {
      while (!text.includes(event)) text += (await reader?.read())?.value ?? "";
    };
    await read('data: {"kind":"drain","stay":true}');
    await target.submit({ queue });
    expect((await poll(queue, { executorName: "resumed", waitMs: 0 })).status).toBe(204);

    expect(await rest("resumed/resume")).toMatchObject({ status: 200, body: { drainRequested: false } });

    await read('data: {"kind":"resume"}');
    await reader?.cancel();
    // The executor has not noticed yet. Its report must not renew the drain.
    expect(await beat("resumed", { ...open, paused: true })).not.toHaveProperty("airlock");
    expect((await poll(queue, { executorName: "resumed", waitMs: 0 })).status).toBe(200);
  });

  it("resumes executors of the base protocol, which has no message for resuming", async () => {
    const queue = await newQueue();
    const body = { version: "V2", jobIds: [], executorName: "base" };
    await target.executor(`queue/${queue}/heartbeat`, body);
    await target.rest("POST", "/executors/base/drain");
    await target.submit({ queue });
    expect((await poll(queue, { executorName: "base", waitMs: 0 })).status).toBe(204);
    expect((await target.rest("POST", "/executors/base/resume")).status).toBe(200);
    expect((await poll(queue, { executorName: "base", waitMs: 0 })).status).toBe(200);
  });

  it("pauses executors that stay connected, and refuses those that would exit", async () => {
    const queue = await newQueue();
    const beat = (executorName: string, airlock?: object) =>
      target.executor(`queue/${queue}/heartbeat`, { version: "V2", jobIds: [], executorName, airlock });
    await beat("stays", { slots: 1, paused: false });
    await beat("exits", { slots: 1 });
    await beat("foreign");
    await target.submit({ queue });
    const paused = await target.rest("POST", "/executors/stays/pause");
    expect(await paused.json()).toMatchObject({ name: "stays", drainRequested: true, resumable: true });
    expect((await poll(queue, { executorName: "stays", waitMs: 0 })).status).toBe(204);
    expect((await target.rest("POST", "/executors/foreign/pause")).status).toBe(200);
    expect((await poll(queue, { executorName: "foreign", waitMs: 0 })).status).toBe(204);
    const refused = await target.rest("POST", "/executors/exits/pause");
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({ error: { code: "executor-leaving" } });
    expect((await poll(queue, { executorName: "exits", waitMs: 0 })).status).toBe(200);
    expect((await target.rest("POST", "/executors/nobody/pause")).status).toBe(404);
    expect((await target.rest("POST", "/executors/stays/resume")).status).toBe(200);
  });

  it.each([
    ["drains by its own decision", { slots: 1, draining: true, paused: false }],
    ["is drained and also drains by its own decision", { slots: 1, draining: true, paused: true }],
    ["exits after every drain", { slots: 1 }],
  ])("refuses to resume an executor that %s", async (_, airlock) => {
    const queue = await newQueue();
    const executorName = `leaving-${queue}`;
    const beat = () =>
      target.executor(`queue/${queue}/heartbeat`, { version: "V2", jobIds: [], executorName, airlock });
    await beat();
    await target.rest("POST", `/executors/${executorName}/drain`);
    await beat();
    const response = await target.rest("POST", `/executors/${executorName}/resume`);
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({
      error: { code: "executor-leaving", message: expect.stringContaining(executorName) },
    });
    expect((await target.rest("POST", "/executors/nobody/resume")).status).toBe(404);
  });

  it.each(["one queue", "several queues"])(
    "gives a job at once to the next poll of %s when the earlier polls are of drained executors",
    async (of) => {
      const queue = await newQueue();
      const beat = (executorName: string) =>
        target.executor(`queue/${queue}/heartbeat`, { version: "V2", jobIds: [], executorName, airlock: { slots: 4 } });
      const ask = (executorName: string, signal?: AbortSignal) =>
        of === "one queue"
          ? poll(queue, { executorName, waitMs: 20_000 }, signal)
          : target.executor(
              "queue/dequeue",
              { executorName, queues: [queue, "batches"], airlock: { waitMs: 20_000 } },
              undefined,
              signal,
            );
      const end = new AbortController();
      const drained = ["drained-a", "drained-b"].map((name) => `${name}-${queue}`);
      const parkedBefore = await parked();
      const polls: Promise<unknown>[] = [];
      for (const name of drained) {
        await beat(name);
        for (let slot = 0; slot < 4; slot += 1) polls.push(ask(name, end.signal).catch(() => undefined));
      }
      await expect.poll(() => parked()).toBe(parkedBefore + 8);
      const other = ask("other");
      await expect.poll(() => parked()).toBe(parkedBefore + 9);
      for (const name of drained) expect((await target.rest("POST", `/executors/${name}/drain`)).status).toBe(200);
      const startedAt = performance.now();
      const id = await target.submit({ queue });
      expect(await (await other).json()).toMatchObject({ id });
      expect(performance.now() - startedAt).toBeLessThan(3000);
      end.abort();
      await Promise.all(polls);
      await expect.poll(() => parked()).toBe(parkedBefore);
    },
  );

  it("ends a job after it has crashed several executors", async () => {
    const queue = await newQueue({ maxLosses: 2 });
    const id = await target.submit({ queue });
    for (const attempt of [1, 2]) {
      const job = (await (await poll(queue)).json()) as TakenJob;
      const body = { executorName: "executor-1", jobId: id, attempt, errorMessage: "killed", reason: "lease-lost" };
      const marked = await target.executor(`queue/${queue}/markErrored`, body, jobHeaders(job, "executor-1"));
      expect(marked.status).toBe(204);
    }
    expect(await (await target.rest("GET", `/jobs/${id}`)).json()).toMatchObject({
      state: "errored",
      failureReason: "lease-lost",
      failureMessage: "the job lost its executor 2 times; the last time: killed",
    });
  });

  it("works with two instances on one database: a poll at one gets a job that was queued at the other", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using one = await startTestInstance({ url: database.url });
    await using two = await startTestInstance({ url: database.url });
    const waiting = poll("default", { at: one });
    await expect.poll(() => parked(one)).toBe(1);
    const startedAt = performance.now();
    const id = await two.submit();
    const job = (await (await waiting).json()) as TakenJob;
    // Well before the sweep, which would find the job without a notice.
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(job.id).toBe(id);
    // The end may be reported to either instance.
    const body = { executorName: "executor-1", jobId: id, attempt: 1 };
    expect((await two.executor("queue/default/markComplete", body, jobHeaders(job, "executor-1"))).status).toBe(204);

    // Many jobs and polls at both instances: exactly one poll gets each job.
    const polls = [one, two].flatMap((at, side) =>
      Array.from({ length: 15 }, (_, index) =>
        poll("default", { at, executorName: `e-${side}-${index}`, waitMs: 5000 }),
      ),
    );
    const ids = await Promise.all(Array.from({ length: 30 }, (_, index) => (index % 2 ? one : two).submit()));
    const taken = await Promise.all(polls.map(async (response) => ((await (await response).json()) as TakenJob).id));
    expect(new Set(taken)).toEqual(new Set(ids));
  });

  it("ends waiting polls and streams when the instance stops", async () => {
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
