import { JobLiveEvent, ListLiveEvent, type LogEvent } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  jobHeaders,
  type ReceivedEvent,
  readEvents,
  startTestInstance,
  type TakenJob,
  type TestInstance,
} from "../../testing/test-instance.ts";

const executorName = "streamer";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "live events", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await newDatabase());
    // The jobs send no heartbeats, and a loaded machine takes longer than a lease.
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    await target.submit();
    const response = await target.executor("queue/default/dequeue", { executorName, airlock: { waitMs: 1000 } });
    return (await response.json()) as TakenJob;
  }
  async function send(job: TakenJob, ...events: LogEvent[]): Promise<void> {
    const body = { executorName, jobId: job.id, attempt: 1, events };
    const response = await target.executor("queue/default/logs", body, jobHeaders(job, executorName));
    expect(response.status).toBe(204);
  }
  async function complete(job: TakenJob): Promise<void> {
    const body = { executorName, jobId: job.id, attempt: 1 };
    await target.executor("queue/default/markComplete", body, jobHeaders(job, executorName));
  }
  const open = (entryId: number): LogEvent => ({
    kind: "open",
    entryId,
    key: `step.docker.${entryId}`,
    command: [],
    startTime: "2026-01-01T00:00:00Z",
  });
  const chunk = (entryId: number, offset: number, text: string): LogEvent => ({
    kind: "chunk",
    entryId,
    offset,
    stream: "stdout",
    data: Buffer.from(text).toString("base64"),
  });
  const close = (entryId: number): LogEvent => ({ kind: "close", entryId, exitCode: 0, durationMs: 1 });
  async function* follow(id: number, lastEventId?: string): AsyncGenerator<ReceivedEvent<JobLiveEvent>> {
    const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
    const response = await target.rest("GET", `/jobs/${id}/events`, undefined, headers);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    for await (const event of readEvents(response)) yield { id: event.id, data: JobLiveEvent.parse(event.data) };
  }
  /** Output by entry, with each byte at its offset. Throws if a byte is repeated or out of place. */
  function assemble(events: readonly ReceivedEvent<JobLiveEvent>[]): Record<number, string> {
    const output: Record<number, string> = {};
    for (const { data } of events) {
      if (data.kind !== "chunk") continue;
      const text = output[data.entryId] ?? "";
      expect(data.offset).toBe(text.length);
      output[data.entryId] = text + Buffer.from(data.data, "base64").toString();
    }
    return output;
  }
  async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const one of source) all.push(one);
    return all;
  }

  it("deliver stored and then new output without gaps or repetitions, and end when the job ends", async () => {
    const job = await take();
    let offset = 0;
    const write = async (text: string) => {
      await send(job, chunk(1, offset, text));
      offset += text.length;
    };
    await send(job, open(1));
    for (let line = 0; line < 200; line++) await write(`before ${line}\n`);
    // Clients start to follow while the log grows.
    const watchers: Promise<ReceivedEvent<JobLiveEvent>[]>[] = [];
    for (let line = 0; line < 200; line++) {
      if (line % 40 === 0) watchers.push(collect(follow(job.id)));
      await write(`during ${line}\n`);
    }
    await send(job, close(1), open(2), chunk(2, 0, "second entry"), close(2));
    await complete(job);
    const expected = await (await target.rest("GET", `/jobs/${job.id}/logs?entry=1`)).text();
    expect(expected.split("\n")).toHaveLength(401);
    for (const watcher of watchers) {
      const events = await watcher;
      expect(assemble(events)).toEqual({ 1: expected, 2: "second entry" });
      expect(events[0]?.data).toMatchObject({ kind: "job", job: { id: job.id } });
      expect(events.at(-1)?.data).toEqual({ kind: "end" });
      const states = events.flatMap(({ data }) => (data.kind === "job" ? [data.job.state] : []));
      expect([states[0], states.at(-1)]).toEqual(["processing", "completed"]);
      const entries = events.flatMap(({ data }) => (data.kind === "entry" ? [data.entry] : []));
      expect(entries.findLast((entry) => entry.entryId === 2)).toMatchObject({ exitCode: 0, length: 12 });
    }
  });

  it("have a time before each line of the log as text, but not before Airlock's own lines", async () => {
    const job = await take();
    await send(job, open(1), chunk(1, 0, "a\nb"), chunk(1, 3, "c\n\nlast"));
    await send(job, close(1));
    await complete(job);
    const read = async (query: string) => (await target.rest("GET", `/jobs/${job.id}/logs?${query}`)).text();
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
    expect(await read("entry=1&times=true")).toMatch(new RegExp(`^${time} a\n${time} bc\n${time} \n${time} last$`));
    expect(await read("times=true")).toMatch(
      new RegExp(
        `^\\[airlock \\w+\\] Log of.*\n\\[airlock \\w+\\] ==> .*\n${time} a\n${time} bc\n${time} \n${time} last`,
      ),
    );
    expect(await read("entry=1")).toBe("a\nbc\n\nlast");
  });

  it("say when the instance received a chunk, also to a client that comes later", async () => {
    const job = await take();
    const before = Date.now();
    await send(job, open(1), chunk(1, 0, "aa"));
    const after = Date.now();
    await send(job, close(1));
    await complete(job);
    const times = (await collect(follow(job.id))).flatMap(({ data }) =>
      data.kind === "chunk" ? [Date.parse(data.receivedAt ?? "")] : [],
    );
    expect(times).toHaveLength(1);
    expect(times[0]).toBeGreaterThanOrEqual(before - 1);
    expect(times[0]).toBeLessThanOrEqual(after + 1);
  });

  it("continue after the last chunk that the client received", async () => {
    const job = await take();
    await send(job, open(1), chunk(1, 0, "aa"), chunk(1, 2, "bb"), close(1), open(2), chunk(2, 0, "cc"), close(2));
    await complete(job);
    const all = await collect(follow(job.id));
    const ids = all.flatMap((event) => event.id ?? []);
    expect(ids).toEqual(["1.1.0", "1.1.2", "1.2.0"]);
    const texts = async (lastEventId: string) =>
      (await collect(follow(job.id, lastEventId))).flatMap(({ data }) =>
        data.kind === "chunk" ? [Buffer.from(data.data, "base64").toString()] : [],
      );
    expect(await texts("1.1.0")).toEqual(["bb", "cc"]);
    expect(await texts("1.1.2")).toEqual(["cc"]);
    expect(await texts("1.2.0")).toEqual([]);
    expect(await texts("no position")).toEqual(["aa", "bb", "cc"]);
  });

  it("deliver notes between the output, and again when a client resumes within the same entry", async () => {
    const job = await take();
    const note = (noteId: number, offset: number, text: string): LogEvent => ({
      kind: "note",
      entryId: 1,
      noteId,
      offset,
      text,
    });
    await send(job, open(1), note(1, 0, "a"), chunk(1, 0, "xx"), note(2, 2, "b"));
    const events: string[] = [];
    let lastEventId: string | undefined;
    const told = ({ data }: ReceivedEvent<JobLiveEvent>): string[] => {
      if (data.kind === "note") return [`${data.noteId}@${data.offset} ${data.text}`];
      return data.kind === "chunk" ? [Buffer.from(data.data, "base64").toString()] : [];
    };
    for await (const event of follow(job.id)) {
      events.push(...told(event));
      lastEventId = event.id ?? lastEventId;
      if (events.length === 3) await send(job, chunk(1, 2, "yy"), note(3, 4, "c"), close(1));
      if (events.length === 5) break;
    }
    expect(events).toEqual(["1@0 a", "xx", "2@2 b", "yy", "3@4 c"]);
    await send(job, open(2), chunk(2, 0, "zz"), close(2));
    await complete(job);
    const resumed = (await collect(follow(job.id, "1.1.2"))).flatMap(told);
    expect(resumed).toEqual(["1@0 a", "2@2 b", "3@4 c", "zz"]);
    expect((await collect(follow(job.id, "1.2.0"))).flatMap(told)).toEqual([]);
  });

  it("offer no resume point after output that may still arrive", async () => {
    const job = await take();
    await send(job, open(1), chunk(1, 0, "first "), open(2), chunk(2, 0, "overlapping"));
    const events: ReceivedEvent<JobLiveEvent>[] = [];
    for await (const event of follow(job.id)) {
      events.push(event);
      if (event.data.kind !== "chunk" || event.data.entryId !== 2) continue;
      await send(job, chunk(1, 6, "late"), close(1), close(2));
      await complete(job);
    }
    const chunks = events.filter(({ data }) => data.kind === "chunk");
    expect(chunks.map(({ id }) => id)).toEqual(["1.1.0", null, "1.1.6"]);
  });

  it("deliver a long log to a slow reader without holding it in memory", async () => {
    const job = await take();
    const block = "x".repeat(200_000);
    await send(job, open(1));
    for (let index = 0; index < 100; index++) await send(job, chunk(1, index * block.length, block));
    await send(job, close(1));
    await complete(job);
    const before = process.memoryUsage().rss;
    let bytes = 0;
    for await (const { data } of follow(job.id)) {
      if (data.kind !== "chunk") continue;
      bytes += Buffer.from(data.data, "base64").length;
      if (bytes < 1_000_000) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(bytes).toBe(20_000_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  });

  it("report changes of jobs and executors to list views", async () => {
    const response = await target.rest("GET", "/events");
    const seen: ListLiveEvent[] = [];
    const reading = (async () => {
      for await (const { data } of readEvents(response)) {
        const event = ListLiveEvent.parse(data);
        seen.push(event);
        if (event.kind === "job" && event.job.state === "completed") return;
      }
    })();
    await target.executor("queue/default/heartbeat", { executorName, os: "linux", airlock: { slots: 3 } });
    const job = await take();
    await expect.poll(() => seen.some((event) => event.kind === "job" && event.job.state === "processing")).toBe(true);
    await complete(job);
    await reading;
    const executor = seen.findLast((event) => event.kind === "executor");
    expect(executor).toMatchObject({ executor: { name: executorName, active: true, slots: 3 } });
  });

  it("are refused without credentials and for jobs that do not exist", async () => {
    expect((await fetch(`${target.url}/api/v1/events`)).status).toBe(401);
    expect((await target.rest("GET", "/jobs/999999/events")).status).toBe(404);
  });
});
