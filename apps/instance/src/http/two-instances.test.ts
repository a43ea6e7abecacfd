import { randomUUID } from "node:crypto";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ExecutorView,
  JobLiveEvent,
  type JobSummary,
  type JobView,
  ListLiveEvent,
  type LogEvent,
} from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  makeRepository,
  runGit,
  type TestDatabase,
  temporaryDirectory,
} from "@airlock/test-kit";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createS3BlobStore, type S3BlobStoreOptions } from "../blobs/s3-blob-store.ts";
import { type RoundRobinProxy, startRoundRobinProxy } from "../testing/round-robin-proxy.ts";
import {
  jobHeaders,
  readEvents,
  startTestInstance,
  type TakenJob,
  type TestInstance,
} from "../testing/test-instance.ts";

const executorName = "traveller";
const secretKeys = { kind: "text", text: "5f".repeat(32) } as const;

describeWithEngines(["postgres", "s3"], "two instances on one database, behind a round-robin proxy", () => {
  const suite = new AsyncDisposableStack();
  let database: TestDatabase;
  let blobStorage: S3BlobStoreOptions;
  let one: TestInstance;
  let two: TestInstance;
  let proxy: RoundRobinProxy;
  let queues = 0;

  beforeAll(async () => {
    database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    blobStorage = await freshBucket();
    one = suite.use(await startTestInstance({ url: database.url }, { secretKeys, blobStorage }));
    two = suite.use(await startTestInstance({ url: database.url }, { secretKeys, blobStorage }));
    proxy = suite.use(await startRoundRobinProxy([one.url, two.url]));
  });
  afterAll(() => suite.disposeAsync());

  const administrator = () => ({ authorization: `Bearer ${one.instance.administratorToken}` });
  const sharedSecret = () => ({ authorization: `token-executor ${one.instance.executorToken}` });
  /** Calls the two instances alternately. */
  async function call(
    method: string,
    route: string,
    body?: unknown,
    headers: Record<string, string> = {},
    at: { readonly url: string } = proxy,
  ): Promise<Response> {
    return fetch(`${at.url}${route}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }
  const rest = (method: string, route: string, body?: unknown, more: Record<string, string> = {}) =>
    call(method, `/api/v1${route}`, body, { ...administrator(), ...more });
  const post = (route: string, body: unknown, headers: Record<string, string> = sharedSecret()) =>
    call("POST", `/.executors/${route}`, body, headers);
  /** Calls as the job's executor, with the token that one of the instances issued. */
  const ofJob = (job: TakenJob, route: string, body: object) =>
    post(
      `queue/${job.queue}/${route}`,
      { executorName, jobId: job.id, attempt: job.airlock.attempt, ...body },
      jobHeaders(job, executorName),
    );
  async function newQueue(settings: object = {}): Promise<string> {
    const name = `shared-${++queues}`;
    expect((await rest("POST", "/queues", { name, backoffMs: 0, ...settings })).status).toBe(201);
    return name;
  }
  async function submit(queue: string, more: object = {}): Promise<number> {
    const response = await rest("POST", "/jobs", {
      queue,
      steps: [{ key: "main", image: "alpine", run: "true" }],
      ...more,
    });
    expect(response.status).toBe(201);
    return ((await response.json()) as JobView).id;
  }
  async function take(queue: string, at: { readonly url: string } = proxy, name = executorName): Promise<TakenJob> {
    const body = { executorName: name, airlock: { waitMs: 10_000 } };
    const response = await call("POST", `/.executors/queue/${queue}/dequeue`, body, sharedSecret(), at);
    expect(response.status).toBe(200);
    return { ...((await response.json()) as TakenJob), queue };
  }
  const view = async (id: number) => (await (await rest("GET", `/jobs/${id}`)).json()) as JobView;
  const parked = async (at: TestInstance) =>
    Number(/^airlock_dequeue_parked (\d+)$/m.exec(await (await fetch(`${at.url}/metrics`)).text())?.[1]);
  const open = (entryId: number): LogEvent => ({
    kind: "open",
    entryId,
    key: `step.oci.${entryId}`,
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

  it("both know a queue and its settings as soon as one of them does", async () => {
    for (let round = 0; round < 4; round++) {
      const queue = await newQueue();
      for (let request = 0; request < 2; request++) {
        const beat = { version: "V2", executorName, jobIds: [] };
        expect((await post(`queue/${queue}/heartbeat`, beat)).status).toBe(200);
      }
    }
    expect(Math.min(...proxy.answered)).toBeGreaterThan(0);
  });

  it("answer a poll that waits at one within milliseconds when a job is submitted to the other", async () => {
    const queue = await newQueue();
    const waits: number[] = [];
    for (let round = 0; round < 20; round++) {
      const [at, other] = round % 2 ? [one, two] : [two, one];
      const taken = take(queue, at);
      await expect.poll(() => parked(at), { timeout: 10_000, interval: 5 }).toBe(1);
      const body = { queue, steps: [{ image: "alpine", run: "true" }] };
      const startedAt = performance.now();
      await call("POST", "/api/v1/jobs", body, administrator(), other);
      const job = await taken;
      waits.push(performance.now() - startedAt);
      expect((await ofJob(job, "markComplete", {})).status).toBe(204);
    }
    // Includes the time of the submission. Without a notice, polling would find the job only after seconds.
    expect(median(waits)).toBeLessThan(100);
  });

  it("run a whole job with alternating requests, and all readers get its complete log in order", async () => {
    const queue = await newQueue();
    const id = await submit(queue);
    const job = await take(queue);
    const watchers = [one, two].map((at) => collect(follow(id, at)));
    let text = "";
    expect((await ofJob(job, "logs", { events: [open(1)] })).status).toBe(204);
    for (let line = 0; line < 120; line++) {
      const more = `line ${line}\n`;
      const sent = { events: [chunk(1, text.length, more)] };
      expect((await ofJob(job, "logs", sent)).status).toBe(204);
      // A batch whose response was lost is sent again, to the other instance.
      if (line % 10 === 0) expect((await ofJob(job, "logs", sent)).status).toBe(204);
      text += more;
    }
    const gap = await ofJob(job, "logs", { events: [chunk(1, text.length + 5, "later")] });
    expect(gap.status).toBe(409);
    expect(await gap.json()).toMatchObject({ entryId: 1, expectedOffset: text.length });
    await ofJob(job, "logs", { events: [{ kind: "close", entryId: 1, exitCode: 0, durationMs: 5 }] });
    expect((await ofJob(job, "markComplete", {})).status).toBe(204);
    expect((await ofJob(job, "markComplete", {})).status).toBe(204);
    for (const watcher of watchers) {
      const events = await watcher;
      let seen = "";
      for (const event of events) {
        if (event.kind !== "chunk") continue;
        expect(event.offset).toBe(seen.length);
        seen += Buffer.from(event.data, "base64").toString();
      }
      expect(seen).toBe(text);
      expect(events.at(-1)).toEqual({ kind: "end" });
    }
    expect(await (await rest("GET", `/jobs/${id}/logs?notes=false`)).text()).toBe(text);
  });

  it("accept whole log entries whose updates reach them alternately", async () => {
    const queue = await newQueue();
    const id = await submit(queue);
    const job = await take(queue);
    const entry = { key: "step.docker.0", command: ["sh"], startTime: "2026-01-01T00:00:00Z" };
    const added = await ofJob(job, "addExecutionLogEntry", { ...entry, out: "stdout: one\n" });
    const entryId = (await added.json()) as number;
    let out = "stdout: one\n";
    for (const word of ["two", "three", "four", "five"]) {
      out += `stdout: ${word}\n`;
      expect((await ofJob(job, "updateExecutionLogEntry", { ...entry, entryId, out })).status).toBe(204);
    }
    await ofJob(job, "updateExecutionLogEntry", { ...entry, entryId, out, exitCode: 0, durationMs: 3 });
    await ofJob(job, "markComplete", {});
    expect(await (await rest("GET", `/jobs/${id}/logs?notes=false`)).text()).toBe("one\ntwo\nthree\nfour\nfive\n");
  });

  it("show a live log through one while it is written through the other, without delay", async () => {
    const queue = await newQueue();
    const id = await submit(queue);
    const job = await take(queue);
    const headers = jobHeaders(job, executorName);
    const logs = (events: LogEvent[]) =>
      call("POST", `/.executors/queue/${queue}/logs`, { executorName, jobId: id, attempt: 1, events }, headers, one);
    await logs([open(1)]);
    const arrivals: number[] = [];
    let sentAt = 0;
    const watching = (async () => {
      for await (const event of follow(id, two)) {
        if (event.kind === "chunk") arrivals.push(performance.now() - sentAt);
        if (arrivals.length === 20) return;
      }
    })();
    for (let line = 0; line < 20; line++) {
      sentAt = performance.now();
      await logs([chunk(1, line, "x")]);
      await expect.poll(() => arrivals.length, { timeout: 10_000, interval: 5 }).toBe(line + 1);
    }
    await watching;
    expect(median(arrivals)).toBeLessThan(100);
    await ofJob(job, "markComplete", {});
  });

  it("deliver cancellations and drain requests from one to a stream at the other at once", async () => {
    const executorName = "drained";
    const queue = await newQueue();
    const id = await submit(queue);
    await post(`queue/${queue}/heartbeat`, { version: "V2", executorName, jobIds: [], airlock: { slots: 1 } });
    const job = await take(queue, one, executorName);
    const stop = new AbortController();
    const stream = await fetch(`${two.url}/.executors/events?executorName=${executorName}`, {
      headers: sharedSecret(),
      signal: stop.signal,
    });
    const news = readEvents<{ kind: string }>(stream);
    const startedAt = performance.now();
    await call("POST", `/api/v1/jobs/${id}/cancel`, undefined, administrator(), one);
    expect((await news.next()).value?.data).toEqual({ kind: "cancel", jobId: id, attempt: 1 });
    await call("POST", `/api/v1/executors/${executorName}/drain`, undefined, administrator(), one);
    expect((await news.next()).value?.data).toEqual({ kind: "drain" });
    expect(performance.now() - startedAt).toBeLessThan(1000);
    const beat = { version: "V2", executorName, jobIds: [String(id)], airlock: { slots: 1 } };
    for (let turn = 0; turn < 2; turn++) {
      const answer = await (await post(`queue/${queue}/heartbeat`, beat)).json();
      expect(answer).toMatchObject({ cancelIds: [String(id)], airlock: { drain: true } });
    }
    stop.abort();
    const end = { executorName, jobId: id, attempt: 1, errorMessage: "canceled" };
    await post(`queue/${queue}/markFailed`, end, jobHeaders(job, executorName));
    expect((await view(id)).state).toBe("canceled");
    // A drained executor gets no jobs from either instance.
    await submit(queue);
    for (const at of [one, two]) {
      const poll = { executorName, airlock: { waitMs: 0 } };
      expect((await call("POST", `/.executors/queue/${queue}/dequeue`, poll, sharedSecret(), at)).status).toBe(204);
    }
  });

  it("update the lists at one with changes at the other", async () => {
    const queue = await newQueue();
    const stop = new AbortController();
    const stream = await fetch(`${one.url}/api/v1/events`, { headers: administrator(), signal: stop.signal });
    const states: string[] = [];
    const seen = (async () => {
      for await (const { data } of readEvents(stream)) {
        const event = ListLiveEvent.parse(data);
        if (event.kind === "executor" && event.executor.name === "newcomer") states.push("executor");
        if (event.kind !== "job" || event.job.queue !== queue) continue;
        states.push(event.job.state);
        if (event.job.state === "completed") return;
      }
    })();
    const id = (
      (await (await two.rest("POST", "/jobs", { queue, steps: [{ image: "a", run: "b" }] })).json()) as JobSummary
    ).id;
    await expect.poll(() => states, { timeout: 10_000, interval: 5 }).toContain("queued");
    await two.executor(`queue/${queue}/heartbeat`, {
      version: "V2",
      executorName: "newcomer",
      jobIds: [],
      airlock: {},
    });
    const job = await take(queue, two, "newcomer");
    await expect.poll(() => states, { timeout: 10_000, interval: 5 }).toContain("processing");
    await two.executor(
      `queue/${queue}/markComplete`,
      { executorName: "newcomer", jobId: id, attempt: 1 },
      jobHeaders(job, "newcomer"),
    );
    await seen;
    expect(states).toContain("executor");
    stop.abort();
    const executors = (await (await rest("GET", "/executors")).json()) as { executors: ExecutorView[] };
    expect(executors.executors.map(({ name }) => name)).toContain("newcomer");
  });

  it("store a job's results where both find them", async () => {
    const queue = await newQueue();
    const id = await submit(queue);
    const job = await take(queue);
    const upload = async (name: string, body: string) => {
      const query = new URLSearchParams({ attempt: "1", name, kind: "file-archive" });
      const headers = { ...jobHeaders(job, executorName), "content-type": "application/octet-stream" };
      expect((await call("PUT", `/.executors/queue/${queue}/artifacts?${query}`, body, headers)).status).toBe(204);
    };
    await upload("one.tar.gz", "1".repeat(300_000));
    await upload("two.tar.gz", "2".repeat(300_000));
    await ofJob(job, "markComplete", {});
    const { artifacts } = await view(id);
    expect(artifacts.map(({ name }) => name).sort()).toEqual(["one.tar.gz", "two.tar.gz"]);
    for (const artifact of artifacts) {
      for (const at of [one, two]) {
        const content = await at.rest("GET", `/jobs/${id}/artifacts/${artifact.id}`);
        expect(await content.text()).toBe(artifact.name.startsWith("one") ? "1".repeat(300_000) : "2".repeat(300_000));
      }
    }
  });

  it("hand out secrets that were set at the other", async () => {
    const queue = await newQueue();
    for (const [name, at] of [
      ["FROM_ONE", one],
      ["FROM_TWO", two],
    ] as const) {
      expect((await at.rest("PUT", `/secrets/${name}`, { value: `value-of-${name}` })).status).toBe(201);
    }
    const steps = [{ image: "alpine", run: "true", secrets: ["FROM_ONE", "FROM_TWO"] }];
    for (const at of [one, two]) {
      await submit(queue, { steps });
      const job = await take(queue, at);
      expect(job).toMatchObject({
        dockerSteps: [{ env: ["FROM_ONE=value-of-FROM_ONE", "FROM_TWO=value-of-FROM_TWO"] }],
      });
      await ofJob(job, "markComplete", {});
    }
  });

  it("assemble a code index whose parts reached both", async () => {
    await using directory = await temporaryDirectory();
    const made = await makeRepository(path.join(directory.path, "indexed"), [
      { message: "x", files: [{ path: "a", content: "a" }] },
    ]);
    await rest("POST", "/repositories", { name: "team/indexed", url: made.path });
    const upload = (query: Record<string, string>, body?: string) =>
      call("POST", `/.executors/lsif/upload?${new URLSearchParams(query)}`, body, {
        ...sharedSecret(),
        "content-type": "application/x-ndjson+lsif",
      });
    const begun = await upload({ repository: "team/indexed", commit: made.head, multiPart: "true", numParts: "4" });
    expect(begun.status).toBe(202);
    const { id: uploadId } = (await begun.json()) as { id: string };
    const parts = await Promise.all(
      [0, 1, 2, 3].map((index) => upload({ uploadId, index: String(index) }, `part ${index}`)),
    );
    expect(parts.map(({ status }) => status)).toEqual([204, 204, 204, 204]);
    expect((await upload({ uploadId, done: "true" })).status).toBe(202);
    await using blobs = createS3BlobStore(blobStorage);
    const stored: string[] = [];
    for await (const { key } of blobs.list(`uploads/${uploadId}/`, { signal: AbortSignal.timeout(10_000) }))
      stored.push(key);
    expect(stored).toEqual([0, 1, 2, 3].map((index) => expect.stringMatching(`^uploads/${uploadId}/${index}/`)));
  });

  it("publish the metrics that were pushed to the other", async () => {
    const queue = await newQueue();
    const beat = {
      version: "V2",
      executorName: "measured",
      jobIds: [],
      prometheusMetrics: "# TYPE pushed_once counter\npushed_once 7\n",
    };
    await one.executor(`queue/${queue}/heartbeat`, beat);
    for (const at of [one, two]) {
      expect(await (await fetch(`${at.url}/metrics`)).text()).toMatch(/^pushed_once\{.*measured.*\} 7$/m);
    }
  });

  it("serve a repository that only one of them has mirrored", async () => {
    const queue = await newQueue();
    await using directory = await temporaryDirectory();
    const made = await makeRepository(path.join(directory.path, "travelling"), [
      { message: "one", files: [{ path: "a", content: "first" }] },
      { message: "two", files: [{ path: "a", content: "second" }] },
    ]);
    expect((await one.rest("POST", "/repositories", { name: "team/travelling", url: made.path })).status).toBe(201);
    const response = await one.rest("POST", "/jobs", {
      queue,
      repository: "team/travelling",
      steps: [{ image: "a", run: "b" }],
    });
    expect(response.status).toBe(201);
    const job = await take(queue, one);
    const clone = path.join(directory.path, "clone");
    await runGit(directory.path, ["init", "--quiet", clone]);
    const headers = Object.entries(jobHeaders(job, executorName)).flatMap(([name, value]) => [
      "-c",
      `http.extraHeader=${name}: ${value}`,
    ]);
    // A git fetch has several requests; the proxy sends them to the instances alternately.
    const url = `${proxy.url}/.executors/git/team/travelling`;
    await runGit(clone, [...headers, "fetch", "--quiet", "--depth=1", "--no-tags", url, made.head]);
    expect(await runGit(clone, ["show", `${made.head}:a`])).toBe("second");
    await runGit(clone, [...headers, "fetch", "--quiet", "--unshallow", url, made.head]);
    expect((await runGit(clone, ["rev-list", "--count", made.head])).trim()).toBe("2");
    await ofJob(job, "markComplete", {});
    // A repository that one instance deleted is gone from both for new jobs.
    expect((await two.rest("DELETE", "/repositories/team%2Ftravelling")).status).toBe(204);
    const late = { queue, repository: "team/travelling", steps: [{ image: "a", run: "b" }] };
    for (const at of [one, two]) expect((await at.rest("POST", "/jobs", late)).status).toBe(422);
  });

  it("retry at one an attempt that errored at the other, and keep the log of each attempt", async () => {
    const queue = await newQueue();
    const id = await submit(queue);
    for (let attempt = 1; attempt <= 3; attempt++) {
      const job = await take(queue, attempt % 2 ? one : two);
      expect(job.airlock.attempt).toBe(attempt);
      await ofJob(job, "logs", { events: [open(1), chunk(1, 0, `attempt ${attempt}`)] });
      if (attempt < 3) await ofJob(job, "markErrored", { errorMessage: "no disk", reason: "runtime" });
      else await ofJob(job, "markComplete", {});
    }
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(await (await rest("GET", `/jobs/${id}/logs?attempt=${attempt}&notes=false`)).text()).toBe(
        `attempt ${attempt}`,
      );
    }
    expect((await rest("POST", `/jobs/${id}/retry`)).status).toBe(200);
    expect((await take(queue)).airlock.attempt).toBe(4);
  });

  it("create one job from simultaneous submissions with the same key at both", async () => {
    const queue = await newQueue();
    const body = { queue, steps: [{ image: "alpine", run: "true" }] };
    for (let round = 0; round < 5; round++) {
      const key = { "idempotency-key": randomUUID() };
      const answers = await Promise.all(Array.from({ length: 6 }, () => rest("POST", "/jobs", body, key)));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 201]);
      const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as JobView).id));
      expect(new Set(ids).size).toBe(1);
    }
  });

  it("accept a browser's session at both", async () => {
    const login = await call(
      "POST",
      "/api/v1/session",
      { token: one.instance.administratorToken },
      { origin: proxy.url },
    );
    expect(login.ok).toBe(true);
    const cookie = login.headers
      .getSetCookie()
      .map((each) => each.split(";")[0])
      .join("; ");
    for (let turn = 0; turn < 4; turn++) {
      expect((await call("GET", "/api/v1/jobs", undefined, { cookie })).status).toBe(200);
    }
  });

  it("go on when one is killed: its jobs continue by heartbeats to the other, or end with their leases", async () => {
    const queue = await newQueue({ leaseMs: 2000, heartbeatIntervalMs: 300 });
    await using directory = await temporaryDirectory();
    await using killed = await InstanceProcess.start({
      databaseUrl: database.url,
      dataDirectory: directory.path,
      env: {
        AIRLOCK_TOKEN: one.instance.administratorToken,
        AIRLOCK_EXECUTOR_TOKEN: one.instance.executorToken,
        AIRLOCK_SECRET_KEY: secretKeys.text,
      },
    });
    await using turns = await startRoundRobinProxy([killed.url, one.url]);
    const ids = [await submit(queue), await submit(queue)];
    const lively = await take(queue, killed, "lively");
    const silent = await take(queue, killed, "silent");
    expect([lively.id, silent.id].sort()).toEqual(ids.sort());
    const beat = () =>
      call(
        "POST",
        `/.executors/queue/${queue}/heartbeat`,
        { version: "V2", executorName: "lively", jobIds: [String(lively.id)], airlock: {} },
        sharedSecret(),
        turns,
      );
    await beat();
    await beat();
    const next = take(queue, one, "successor");
    await killed.kill();
    const killedAt = performance.now();
    const beats = (async () => {
      while (performance.now() - killedAt < 5000) {
        expect((await beat()).status).toBe(200);
        await sleep(300);
      }
    })();
    // Two seconds for the lease, and two until a sweep finds that it lapsed.
    expect(await next).toMatchObject({ id: silent.id, airlock: { attempt: 2 } });
    expect(performance.now() - killedAt).toBeLessThan(4500);
    await beats;
    expect(await view(lively.id)).toMatchObject({ state: "processing", attempt: 1, executor: "lively" });
    const late = await call(
      "POST",
      `/.executors/queue/${queue}/markComplete`,
      { executorName: "silent", jobId: silent.id, attempt: 1 },
      jobHeaders(silent, "silent"),
    );
    expect(late.status).not.toBe(204);
    const end = { executorName: "lively", jobId: lively.id, attempt: 1 };
    expect(
      (await call("POST", `/.executors/queue/${queue}/markComplete`, end, jobHeaders(lively, "lively"), turns)).status,
    ).toBe(204);
  });

  async function* follow(id: number, at: TestInstance): AsyncGenerator<JobLiveEvent> {
    for await (const { data } of readEvents(await at.rest("GET", `/jobs/${id}/events`))) yield JobLiveEvent.parse(data);
  }
});

/** Creates a bucket in the test engine's storage, which is deleted with the engine. */
async function freshBucket(): Promise<S3BlobStoreOptions> {
  const { endpoint, region, accessKeyId, secretAccessKey } = engines().s3 ?? expect.unreachable();
  const bucket = `shared-${randomUUID()}`;
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { endpoint, region, bucket, prefix: "airlock/", accessKeyId, secretAccessKey, forcePathStyle: true };
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
