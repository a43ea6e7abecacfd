import { createConnection } from "node:net";
import { gzipSync } from "node:zlib";
import type { JobView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sendRaw } from "../../testing/send-raw.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const queue = "default";
const executorName = "hostile";
const startTime = "2026-01-01T00:00:00Z";
const megabyte = 1024 * 1024;

describeWithEngines(["postgres"], "a hostile executor", () => {
  let target: TestInstance;
  let job: TakenJob;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.rest("PATCH", `/queues/${queue}`, { leaseMs: 3_600_000 });
    job = await take();
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function take(): Promise<TakenJob> {
    await target.submit();
    const response = await target.executor(`queue/${queue}/dequeue`, { executorName, airlock: { waitMs: 5000 } });
    expect(response.status).toBe(200);
    return (await response.json()) as TakenJob;
  }
  const secret = () => ({ authorization: `token-executor ${target.instance.executorToken}` });
  const ofJob = (one: TakenJob = job) => ({ executorName, jobId: one.id, attempt: 1 });
  const write = (route: string, body: Record<string, unknown>, one: TakenJob = job) =>
    target.executor(`queue/${queue}/${route}`, { ...ofJob(one), ...body }, jobHeaders(one, executorName));
  const view = async (one: TakenJob): Promise<JobView> =>
    (await target.rest("GET", `/jobs/${one.id}`)).json() as Promise<JobView>;
  const open = (entryId: number, extra: object = {}) => ({
    kind: "open",
    entryId,
    key: `step.docker.${entryId}`,
    command: ["true"],
    startTime,
    ...extra,
  });
  const chunk = (entryId: number, offset: number, text: string | Buffer, extra: object = {}) => ({
    kind: "chunk",
    entryId,
    offset,
    stream: "stdout",
    data: Buffer.from(text).toString("base64"),
    ...extra,
  });
  const logs = (...events: unknown[]) => ({ events });

  it.each([
    ["dequeue", 1 * megabyte],
    ["heartbeat", 4 * megabyte],
    ["canceledJobs", 1 * megabyte],
    ["logs", 32 * megabyte],
    ["addExecutionLogEntry", 64 * megabyte],
    ["updateExecutionLogEntry", 64 * megabyte],
    ["markComplete", 1 * megabyte],
    ["markErrored", 1 * megabyte],
    ["markFailed", 1 * megabyte],
  ])("is told at once that a body of %s is larger than its limit", async (route, limit) => {
    const isOfJob = /mark|log/i.test(route);
    const answer = await sendRaw(target.url, {
      method: "POST",
      path: `/.executors/queue/${queue}/${route}`,
      headers: {
        ...(isOfJob ? jobHeaders(job, executorName) : secret()),
        "content-type": "application/json",
        "content-length": String(limit + 1),
      },
      body: Buffer.from("{"),
      timeoutMs: 2000,
    });
    expect(answer).toMatchObject({ status: 413, text: expect.stringContaining("too large") });
  });

  it("is disconnected when a body without an announced length grows past the limit", async () => {
    const [status, sent] = await sendChunks(
      { path: `/.executors/queue/${queue}/markComplete`, headers: jobHeaders(job, executorName) },
      64 * megabyte,
    );
    expect(status).toBe(413);
    expect(sent).toBeLessThan(16 * megabyte);
    expect((await view(job)).state).toBe("processing");
  });

  it("can't make the instance decompress a small body past the limit", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * megabyte, " "));
    const before = process.memoryUsage().rss;
    const answer = await sendRaw(target.url, {
      method: "POST",
      path: `/.executors/queue/${queue}/markComplete`,
      headers: { ...jobHeaders(job, executorName), "content-type": "application/json", "content-encoding": "gzip" },
      body: bomb,
    });
    expect(answer.status).toBe(413);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * megabyte);
  });

  it.each([
    ["a body that ends early", { "content-length": "5000" }, '{"executorName":"hostile"'],
    ["a chunk that ends early", { "transfer-encoding": "chunked" }, '1000\r\n{"executorName":'],
  ])("changes nothing by sending %s", async (_title, length, body) => {
    const { hostname, port } = new URL(target.url);
    const socket = createConnection({ host: hostname, port: Number(port) });
    const headers = Object.entries({ ...jobHeaders(job, executorName), ...length });
    socket.write(
      `POST /.executors/queue/${queue}/markComplete HTTP/1.1\r\nhost: x\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await view(job)).state).toBe("processing");
    expect((await fetch(`${target.url}/healthz`)).status).toBe(200);
  });

  it.each([
    ["text that is not JSON", "{"],
    ["a truncated body", '{"executorName":"hostile","jobId":1'],
    ["an empty body", ""],
    ["a list", "[]"],
    ["a __proto__ field", '{"executorName":"hostile","jobId":1,"__proto__":{"admin":true}}'],
    ["a constructor.prototype field", '{"constructor":{"prototype":{"admin":true}}}'],
    ["deeply nested lists", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["deeply nested objects", `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
  ])("gets 400 and plain text for %s", async (_title, body) => {
    const answer = await sendRaw(target.url, {
      method: "POST",
      path: `/.executors/queue/${queue}/markComplete`,
      headers: { ...jobHeaders(job, executorName), "content-type": "application/json" },
      body: Buffer.from(body),
    });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "text/plain; charset=utf-8"]);
    expect(answer.text.length).toBeLessThan(1000);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it.each<[string, string, object, RegExp]>([
    ["a negative id", "markComplete", { jobId: -1 }, /^jobId: /],
    ["an id with a fraction", "markComplete", { jobId: 1.5 }, /^jobId: /],
    ["an id past 2^53", "markComplete", { jobId: 2 ** 53 + 2 }, /^jobId: /],
    ["a long id as text", "markComplete", { jobId: "9".repeat(400) }, /^jobId: /],
    ["an id in another notation", "markComplete", { jobId: "0x1" }, /^jobId: /],
    ["an attempt past 2^31", "markComplete", { attempt: 2 ** 31 }, /^attempt: /],
    ["attempt 0", "markComplete", { attempt: 0 }, /^attempt: /],
    ["a fractional attempt", "markComplete", { attempt: 0.5 }, /^attempt: /],
    ["a name with NUL", "markComplete", { executorName: "hos\0tile" }, /^executorName: must not contain NUL/],
    ["a name with a lone surrogate", "markComplete", { executorName: "\ud800" }, /^executorName: must not/],
    ["a hundred thousand steps", "markComplete", { steps: Array(100_000).fill(0) }, /^steps: /],
    ["a step's key with NUL", "markComplete", { steps: [step("\0")] }, /^steps\[0\]\.key: must not/],
    ["an exit code above 255", "markFailed", { exitCode: 256 }, /^exitCode: /],
    ["an unknown reason", "markFailed", { reason: "because" }, /^reason: /],
    ["a message that is a list", "markErrored", { errorMessage: ["x"] }, /^errorMessage: /],
    ["an entry past 2^31", "logs", logs(open(2 ** 31)), /^events\[0\]\.entryId: /],
    ["a negative offset", "logs", logs(chunk(1, -1, "a")), /^events\[0\]\.offset: /],
    ["an offset past 2^53", "logs", logs(chunk(1, 2 ** 60, "a")), /^events\[0\]\.offset: /],
    ["an exit code past 2^31", "logs", logs(close(2 ** 31)), /^events\[0\]\.exitCode: /],
    ["an infinite duration", "logs", logs({ ...close(0), durationMs: 1e300 }), /^events\[0\]\.durationMs: /],
    ["no events", "logs", logs(), /^events: /],
    ["a hundred thousand events", "logs", logs(...Array(100_000).fill(close(0))), /^events: /],
    ["an unknown event", "logs", logs({ kind: "rename" }), /^events\[0\]\.kind: /],
    ["an unknown stream", "logs", logs(chunk(1, 0, "a", { stream: "stdin" })), /^events\[0\]\.stream: /],
    ["text that is not base64", "logs", logs(chunk(1, 0, "", { data: "*bad" })), /^events\[0\]\.data: /],
    ["a chunk past its limit", "logs", logs(chunk(1, 0, Buffer.alloc(300_000))), /^events\[0\]\.data: /],
    ["a key with NUL", "logs", logs(open(1, { key: "a\0" })), /^events\[0\]\.key: must not contain NUL/],
    ["an invalid time", "logs", logs(open(1, { startTime: "yesterday" })), /^events\[0\]\.startTime: /],
    ["a thirteenth month", "logs", logs(open(1, { startTime: "2026-13-01T00:00:00Z" })), /^events\[0\]\.startTime: /],
    ["a hundred thousand words", "logs", logs(open(1, { command: Array(100_000).fill("") })), /\.command: /],
    ["a key of a megabyte", "addExecutionLogEntry", { key: "x".repeat(megabyte), startTime }, /^key: /],
    ["a negative duration", "addExecutionLogEntry", { key: "a", startTime, durationMs: -1 }, /^durationMs: /],
    ["entry 0", "updateExecutionLogEntry", { key: "a", startTime, entryId: 0 }, /^entryId: /],
  ])("is refused %s in %s, and the error names the field", async (_title, route, body, problem) => {
    const startedAt = performance.now();
    const response = await write(route, body as Record<string, unknown>);
    const text = await response.text();
    expect([response.status, text]).toEqual([400, expect.stringMatching(problem)]);
    expect(text.length).toBeLessThan(20_000);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(await view(job)).toMatchObject({ state: "processing", entries: [] });
  });

  it.each<[string, object, RegExp]>([
    ["a hundred thousand ids", { jobIds: Array.from({ length: 100_000 }, (_, id) => id + 1) }, /^jobIds: /],
    ["half a million ids that are words", { jobIds: Array(500_000).fill("x") }, /^jobIds: /],
    ["an id that is a list", { jobIds: [[1]] }, /^jobIds\[0\]: /],
    ["an attempt past 2^31", { airlock: { attempts: { 1: 2 ** 31 } } }, /^airlock\.attempts\.1: /],
    ["a billion slots", { airlock: { slots: 1e9 } }, /^airlock\.slots: /],
    ["a thousand labels", { airlock: { labels: manyLabels(1000) } }, /^airlock\.labels: at most/],
    ["a label of a megabyte", { airlock: { labels: { a: "x".repeat(megabyte) } } }, /^airlock\.labels\.a: /],
    ["an operating system of a megabyte", { os: "x".repeat(megabyte) }, /^os: /],
    ["a label with NUL", { airlock: { labels: { a: "a\0b" } } }, /^airlock\.labels\.a: must not contain NUL/],
  ])("is quickly refused a heartbeat with %s", async (_title, body, problem) => {
    const startedAt = performance.now();
    const response = await target.executor(`queue/${queue}/heartbeat`, { executorName, version: "V2", ...body });
    expect([response.status, await response.text()]).toEqual([400, expect.stringMatching(problem)]);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it.each<[string, object, RegExp]>([
    ["a version that is not one", { version: "1" }, /^version: "1" is not a version/],
    ["a version that is a number", { version: 1 }, /^version: /],
    ["a version of a megabyte", { version: "1".repeat(megabyte / 2) }, /^version: /],
    ["a name that is a list", { executorName: ["a"] }, /^executorName: /],
    ["a name that is a number", { executorName: 5 }, /^executorName: /],
    ["a fractional amount of memory", { memory: 1.5 }, /^memory: /],
    ["a negative number of CPUs", { numCPUs: -1 }, /^numCPUs: /],
    ["a wait of a day", { airlock: { waitMs: 86_400_000 } }, /^airlock\.waitMs: /],
  ])("is refused a dequeue with %s, and the error names the field", async (_title, body, problem) => {
    for (const [route, more] of [
      [`queue/${queue}/dequeue`, {}],
      ["queue/dequeue", { queues: [queue] }],
    ] as const) {
      const response = await target.executor(route, { executorName, ...more, ...body });
      expect([response.status, await response.text()]).toEqual([400, expect.stringMatching(problem)]);
    }
  });

  it("is refused lists of queues that would be too expensive to compare", async () => {
    const startedAt = performance.now();
    const response = await target.executor("queue/heartbeat", {
      executorName,
      queueNames: [...Array(200_000).fill(queue), "batches"],
      jobIdsByQueue: Array(60_000).fill({ queueName: "batches" }),
    });
    expect(response.status).toBe(400);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it("learns only about its own jobs when it sends ten thousand ids, some of them twice", async () => {
    const ids = [job.id, job.id, ...Array.from({ length: 9998 }, (_, index) => Number.MAX_SAFE_INTEGER - index)];
    const response = await target.executor(`queue/${queue}/heartbeat`, { executorName, version: "V2", jobIds: ids });
    expect(await response.json()).toEqual({ knownIds: [String(job.id)], cancelIds: [] });
  });

  it("can send fields that the instance does not know, and they have no effect", async () => {
    const response = await target.executor(`queue/${queue}/heartbeat`, {
      executorName,
      version: "V2",
      jobIds: [job.id],
      colour: "red",
      airlock: { attempts: {}, mood: { good: true } },
    });
    expect(response.status).toBe(200);
  });

  it("can end its job with a message that can't be stored unchanged", async () => {
    const one = await take();
    expect((await write("markFailed", { errorMessage: "before\0after \ud800 end" }, one)).status).toBe(204);
    expect(await view(one)).toMatchObject({ state: "failed", failureMessage: "before\ufffdafter \ufffd end" });
  });

  it("can't lose its log by sending malformed commands, which the instance repairs and shortens", async () => {
    const one = await take();
    const command = ["sh\0", "-c", "x".repeat(megabyte), "never shown"];
    expect((await write("logs", logs(open(1, { command })), one)).status).toBe(204);
    expect((await write("addExecutionLogEntry", { key: "b", command, startTime }, one)).status).toBe(200);
    for (const { command: shown } of (await view(one)).entries) {
      expect(shown).toEqual(["sh\ufffd", "-c", expect.stringMatching(/^x{8000,8192}…$/)]);
    }
  });

  it("can store any bytes as output, and readers get the same bytes back", async () => {
    const one = await take();
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256));
    expect((await write("logs", logs(open(1), chunk(1, 0, bytes)), one)).status).toBe(204);
    const read = await target.rest("GET", `/jobs/${one.id}/logs?entry=1`);
    expect(Buffer.from(await read.arrayBuffer()).equals(bytes)).toBe(true);
    expect([read.headers.get("content-type"), read.headers.get("x-content-type-options")]).toEqual([
      "text/plain; charset=utf-8",
      "nosniff",
    ]);
  });

  it("ends an attempt only once, however many reports arrive at the same moment", async () => {
    for (const route of ["markComplete", "markFailed", "markErrored"]) {
      const one = await take();
      const reports = Array.from({ length: 30 }, () => write(route, { attempt: undefined }, one));
      const statuses = (await Promise.all(reports)).map((response) => response.status);
      expect(statuses.filter((status) => status === 204)).toHaveLength(1);
      const { attempts } = await view(one);
      expect(attempts).toHaveLength(1);
      // An errored job waits for its retry. Cancel it to keep it out of the next round.
      await target.rest("POST", `/jobs/${one.id}/cancel`);
    }
  });

  it("ends an attempt with a single result when several results are reported at once", async () => {
    const one = await take();
    const routes = Array.from({ length: 30 }, (_, index) => ["markComplete", "markFailed"][index % 2] ?? "");
    const statuses = await Promise.all(routes.map(async (route) => (await write(route, {}, one)).status));
    const { state } = await view(one);
    const winner = state === "completed" ? "markComplete" : "markFailed";
    // A repeated report of the same end gets the same response as the first.
    expect(routes.filter((_, index) => statuses[index] === 204).every((route) => route === winner)).toBe(true);
    expect(statuses).toContain(404);
  });

  it("gets one complete log from events that it sends twice, late and in the wrong order", async () => {
    const text = fc.string({ minLength: 1, maxLength: 40, unit: "binary" }).map((value) => Buffer.from(value));
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        async (parts, order) => {
          const one = await take();
          const offsets = parts.map((_, index) => Buffer.concat(parts.slice(0, index)).length);
          const send = (index: number) => write("logs", logs(chunk(1, offsets[index] ?? 0, parts[index] ?? "")), one);
          await write("logs", logs(open(1)), one);
          let known = 0;
          for (const pick of [...order.map((value) => value % parts.length), ...parts.keys()]) {
            const response = await send(pick);
            if (pick > known) {
              expect(response.status).toBe(409);
              expect(await response.json()).toMatchObject({ code: "log-conflict", expectedOffset: offsets[known] });
            } else {
              expect(response.status).toBe(204);
              if (pick === known) known += 1;
            }
          }
          const read = await target.rest("GET", `/jobs/${one.id}/logs?entry=1`);
          expect(Buffer.from(await read.arrayBuffer()).equals(Buffer.concat(parts))).toBe(true);
          await write("markComplete", {}, one);
        },
      ),
      fuzzParameters("log chunks in any order", 15),
    );
  });

  /** Sends chunks until it is stopped. Returns the status and the number of bytes sent until then. */
  async function sendChunks(
    request: { readonly path: string; readonly headers: Record<string, string> },
    bytes: number,
  ): Promise<[number, number]> {
    const { hostname, port } = new URL(target.url);
    const socket = createConnection({ host: hostname, port: Number(port) });
    const { promise, resolve } = Promise.withResolvers<number>();
    let answer = "";
    let open = true;
    socket.on("data", (data: Buffer) => {
      answer += data.toString("latin1");
      open = false;
      resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0));
    });
    socket.on("error", () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)));
    const headers = Object.entries({ ...request.headers, "transfer-encoding": "chunked", host: "x" });
    socket.write(
      `POST ${request.path} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
    );
    const part = Buffer.from(`10000\r\n${" ".repeat(65_536)}\r\n`);
    let sent = 0;
    while (open && sent < bytes) {
      sent += part.length;
      if (!socket.write(part)) await Promise.race([new Promise((done) => socket.once("drain", done)), promise]);
    }
    const status = await promise;
    socket.destroy();
    return [status, sent];
  }
});

function close(exitCode: number) {
  return { kind: "close", entryId: 1, exitCode, durationMs: 1 };
}

function step(key: string) {
  return { key, state: "succeeded", exitCode: 0, durationMs: 1 };
}

function manyLabels(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`label-${index}`, "x"]));
}
