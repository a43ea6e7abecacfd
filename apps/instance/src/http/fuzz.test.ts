import { ApiError } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sendRaw } from "../testing/send-raw.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const executorName = "fuzzer";
const queue = "fuzz";

/** Values for a route's URL and body that belong to the running job. */
interface Situation {
  readonly job: TakenJob;
  readonly attempt: number;
}

interface Target {
  readonly method: string;
  readonly path: string;
  readonly by: "executor" | "job" | "administrator";
  readonly body?: (situation: Situation) => unknown;
}

const startTime = "2026-01-01T00:00:00Z";
const ofJob = ({ job }: Situation) => ({ executorName, jobId: job.id });
const entry = { key: "step.docker.main", command: ["sh", "-c", "true"], startTime, out: "stdout: a\n", exitCode: 0 };

const executorTargets: readonly Target[] = [
  { method: "GET", path: "/test/auth", by: "executor" },
  {
    method: "POST",
    path: "/queue/empty/dequeue",
    by: "executor",
    body: () => ({
      executorName,
      version: "5.3.0",
      numCPUs: 2,
      memory: "1G",
      diskSpace: "1G",
      airlock: { waitMs: 0, capabilities: ["attempts"], labels: { zone: "a" } },
    }),
  },
  { method: "POST", path: "/queue/dequeue", by: "executor", body: () => ({ executorName, queues: ["empty"] }) },
  {
    method: "POST",
    path: `/queue/${queue}/heartbeat`,
    by: "executor",
    body: ({ job, attempt }) => ({
      version: "V2",
      executorName,
      jobIds: [job.id],
      os: "linux",
      prometheusMetrics: "# TYPE a counter\na 1\n",
      airlock: { attempts: { [job.id]: attempt }, runtime: "oci", slots: 2, labels: { zone: "a" }, draining: false },
    }),
  },
  {
    method: "POST",
    path: "/queue/heartbeat",
    by: "executor",
    body: ({ job }) => ({
      executorName,
      queueNames: [queue],
      jobIdsByQueue: [{ queueName: queue, jobIds: [String(job.id)] }],
    }),
  },
  { method: "POST", path: `/queue/${queue}/canceled`, by: "executor", body: () => ({ executorName }) },
  {
    method: "POST",
    path: `/queue/${queue}/canceledJobs`,
    by: "executor",
    body: ({ job }) => ({ executorName, knownJobIds: [job.id] }),
  },
  { method: "GET", path: "/queue/src-cli/version", by: "executor" },
  { method: "GET", path: "/files/batch-changes/1/0", by: "job" },
  {
    method: "POST",
    path: `/queue/${queue}/logs`,
    by: "job",
    body: (situation) => ({
      ...ofJob(situation),
      attempt: situation.attempt,
      events: [
        { kind: "open", entryId: 1, key: "a", command: ["true"], startTime },
        { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: "YQo=" },
        { kind: "close", entryId: 1, exitCode: 0, durationMs: 1 },
      ],
    }),
  },
  {
    method: "POST",
    path: `/queue/${queue}/addExecutionLogEntry`,
    by: "job",
    body: (situation) => ({ ...ofJob(situation), ...entry }),
  },
  {
    method: "POST",
    path: `/queue/${queue}/updateExecutionLogEntry`,
    by: "job",
    body: (situation) => ({ ...ofJob(situation), ...entry, entryId: 1, durationMs: 5 }),
  },
  {
    method: "POST",
    path: `/queue/${queue}/usage`,
    by: "job",
    body: (situation) => ({
      ...ofJob(situation),
      attempt: situation.attempt,
      usage: {
        ...{ step: 0, startedAt: "2026-01-01T00:00:00Z", intervalMs: 1000, durationMs: 2000 },
        limits: { cpus: 1, memoryBytes: 1, diskBytes: null },
        ...{ cpuMs: [1, 2], memoryBytes: [1, 2], diskBytes: null, receivedBytes: null, sentBytes: null },
      },
    }),
  },
  {
    method: "POST",
    path: `/queue/${queue}/markComplete`,
    by: "job",
    body: (situation) => ({
      ...ofJob(situation),
      attempt: situation.attempt,
      steps: [{ key: "main", state: "succeeded", exitCode: 0, durationMs: 1 }],
    }),
  },
  ...["markErrored", "markFailed"].map(
    (route): Target => ({
      method: "POST",
      path: `/queue/${queue}/${route}`,
      by: "job",
      body: (situation) => ({
        ...ofJob(situation),
        attempt: situation.attempt,
        errorMessage: "it broke",
        reason: "runtime",
        exitCode: 1,
      }),
    }),
  ),
  { method: "PUT", path: `/queue/${queue}/artifacts?attempt=1&name=a.diff&kind=diff`, by: "job", body: () => "bytes" },
  { method: "GET", path: "/git/one/info/refs?service=git-upload-pack", by: "job" },
  { method: "POST", path: "/git/one/git-upload-pack", by: "job", body: () => "0000" },
];

const spec = {
  queue: "empty",
  revision: "HEAD",
  steps: [{ key: "main", image: "alpine:3.20", run: "true", dir: "a/b", env: { A: "b", N: 3 }, secrets: [] }],
  resources: { cpus: 1.5, memory: "512Mi", disk: 1_000_000_000, pids: 100 },
  egress: { allow: ["example.com:443"] },
  timeout: "90s",
  outputs: ["out/**"],
  diff: false,
  labels: { zone: "a" },
  namespace: "team",
  files: { "a/b.txt": "text" },
  priority: 3,
};

const restBodies: Readonly<Record<string, (situation: Situation) => unknown>> = {
  "POST /jobs": () => spec,
  "POST /queues": () => ({ name: "another", maxAttempts: 2, leaseMs: 5000, concurrencyLimit: 3 }),
  "PATCH /queues/{name}": () => ({ maxAttempts: 2, backoffMs: 0, maxLogBytes: 4096 }),
  "POST /repositories": () => ({ name: "somewhere", url: "http://127.0.0.1:9/x.git" }),
  "POST /session": () => ({ token: "administrator-token-of-tests" }),
};

/** Edge-case values. Text without quotes is put into the JSON as it is. */
const hostileJson = fc.constantFrom(
  ...["null", "true", "-1", "0", "1.5", "-0", "1e308", "-1e308", "1e999", "2147483648", "4294967296"],
  ...["9007199254740993", "99999999999999999999999", "0.1e-400", '""', '" "', '"\\u0000"', '"a\\u0000b"'],
  ...['"\\ud800"', '"\\udc00\\ud800"', '"../../etc/passwd"', '"%2e%2e%2f"', '"__proto__"', '"constructor"'],
  ...["[]", "{}", "[[[[[[[[[[]]]]]]]]]]", '{"__proto__":{"x":1}}', '{"constructor":{"prototype":{"x":1}}}'],
  ...['{"toString":null}', '{"length":-1}', '"\'; drop table jobs; --"', '"<script>alert(1)</script>"'],
  ...[
    '"=cmd|calc"',
    '"0000-00-00T00:00:00Z"',
    '"9999-12-31T23:59:60Z"',
    '"-271821-04-20T00:00:00Z"',
    "NaN",
    "Infinity",
  ],
  ...['"file:///%ff"', '"https://%ff@x/"', '"\\u202e"', '"1h1h1h1h"', '"-----"', '"99999999999999999Gi"', '"1e9"'],
  JSON.stringify("x".repeat(100_000)),
  `[${"0,".repeat(20_000)}0]`,
  `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
  `{${Array.from({ length: 5000 }, (_, index) => `"k${index}":"v"`).join(",")}}`,
);

const mutation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("value" as const), at: fc.nat(), with: hostileJson }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("truncate" as const), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), at: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("bytes" as const),
      at: fc.nat(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("whole" as const), with: hostileJson }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("none" as const) }) },
);
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never;

const header = fc.oneof(
  { weight: 6, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom(
        ...["content-type", "content-encoding", "authorization", "x-sourcegraph-job-id", "cookie", "origin"],
        ...["x-sourcegraph-executor-name", "idempotency-key", "last-event-id", "git-protocol", "range", "expect"],
        ...["host", "accept-encoding", "if-none-match", "transfer-encoding"],
      ),
      fc.constantFrom(
        ...["", " ", "gzip", "identity", "text/plain", "application/json; charset=utf-16", "chunked", "x".repeat(4000)],
        ...["Bearer ", "Bearer x y", "token-executor", "Basic eA==", "1e9", "-1", "0x10", "99999999999999999999"],
        ...["a=b; airlock_session=1", "airlock_session=9999999999999.x", "%ff", "null", "version=2:command=rm"],
        ...["1.1.0", "bytes=0-0", "999999999.999999999.999999999999999", "multipart/form-data; boundary=x", "é"],
      ),
    ),
  },
);

const pathPart = fc.oneof(
  { weight: 6, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...["0", "-1", "1.5", "99999999999", "9007199254740993", "%00", "%ff", "%2e%2e", "..", "a%2Fb", "__proto__", " "],
      ...["x".repeat(2000), "'", "%F0%9F%98%80", "?limit=1e9", "?before=-1&limit=x", "?state=%00&queue=%00", "#", "//"],
      ...["?repository=%00", "?attempt=99999999999&entry=99999999999", "?__proto__=1", "?queue=a&queue=b"],
    ),
  },
);

/** Paths to all values of a body, in a fixed order. */
function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, member]) => pathsOf(member, [...path, name]))];
}

const placeholder = "placeholder-of-a-hostile-value";

function replaceAt(value: unknown, path: readonly string[], by: string | undefined): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return by;
  if (Array.isArray(value)) {
    return value.map((member: unknown, index) => (String(index) === name ? replaceAt(member, rest, by) : member));
  }
  const members = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(members.map(([key, member]) => [key, key === name ? replaceAt(member, rest, by) : member]));
}

function mutate(body: unknown, change: Mutation): Buffer {
  if (typeof body === "string") return Buffer.from(body);
  const paths = pathsOf(body);
  const text = JSON.stringify(body);
  switch (change.kind) {
    case "value": {
      const path = paths[change.at % paths.length] ?? [];
      const marked = JSON.stringify(replaceAt(body, path, placeholder));
      return Buffer.from(marked.replace(JSON.stringify(placeholder), () => change.with));
    }
    case "delete":
      return Buffer.from(JSON.stringify(replaceAt(body, paths[change.at % paths.length] ?? [], undefined)) ?? "");
    case "truncate":
      return Buffer.from(text).subarray(0, change.at % text.length);
    case "bytes": {
      const at = change.at % text.length;
      return Buffer.concat([Buffer.from(text.slice(0, at)), change.bytes, Buffer.from(text.slice(at))]);
    }
    case "whole":
      return Buffer.from(change.with);
    case "none":
      return Buffer.from(text);
  }
}

describeWithEngines(["postgres"], "any request to an instance", () => {
  let target: TestInstance;
  let targets: readonly Target[];
  let situation: Situation;

  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    for (const name of [queue, "empty"]) await target.rest("POST", "/queues", { name, leaseMs: 3_600_000 });
    const { paths } = (await (await target.rest("GET", "/openapi.json")).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method): Target => {
        const route = `${method.toUpperCase()} ${path.replace("/api/v1", "")}`;
        const body = restBodies[route];
        return { method: method.toUpperCase(), path, by: "administrator", ...(body ? { body } : {}) };
      }),
    );
    // A stream never ends.
    const rest = described.filter(({ path }) => !path.endsWith("/events"));
    targets = [...executorTargets, ...rest];
    await takeJob();
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function takeJob(): Promise<void> {
    await target.submit({ queue });
    const response = await target.executor(`queue/${queue}/dequeue`, { executorName, airlock: { waitMs: 5000 } });
    const job = (await response.json()) as TakenJob;
    situation = { job, attempt: job.airlock.attempt };
  }

  function headersOf(one: Target): Record<string, string> {
    if (one.by === "job") return jobHeaders(situation.job, executorName);
    const { administratorToken, executorToken } = target.instance;
    return {
      authorization: one.by === "executor" ? `token-executor ${executorToken}` : `Bearer ${administratorToken}`,
    };
  }

  it(
    "is answered in time, with an error of the right kind and never an internal one",
    async () => {
      const statuses = new Map<number, number>();
      await fc.assert(
        fc.asyncProperty(fc.nat(), mutation, header, pathPart, async (which, change, extra, part) => {
          const one = targets[which % targets.length];
          if (!one) throw new Error("there are no routes");
          const id = part ?? String(situation.job.id);
          const path = one.path.replace(/\{\w+\}/, id.replaceAll(" ", "%20"));
          const prefix = one.by === "administrator" ? "" : "/.executors";
          const suffix = part?.startsWith("?") && !path.includes("?") ? part : "";
          const answer = await sendRaw(target.url, {
            method: one.method,
            path: `${prefix}${path}${suffix}`,
            headers: {
              ...headersOf(one),
              ...(one.body ? { "content-type": "application/json" } : {}),
              ...(extra ? { [extra[0]]: Buffer.from(extra[1]).toString("latin1") } : {}),
            },
            ...(one.body ? { body: mutate(one.body(situation), change) } : {}),
            timeoutMs: 10_000,
          });
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          const { text } = answer;
          if (answer.status >= 500) {
            // The protocol requires 500 in some cases. An unexpected failure has a different text.
            expect({ path, text }).toEqual({ path, text: expect.not.stringMatching(/internal error|"internal"/) });
            // Nothing answers at the test's private address, which is reported as 502.
            if (one.by === "administrator") expect(answer.status).toBe(502);
          }
          if (
            one.by === "administrator" &&
            answer.status >= 400 &&
            answer.parsed &&
            !text.includes("Client Error") &&
            !/[?#]|\/\//.test(id)
          ) {
            const { error } = ApiError.parse(JSON.parse(text));
            expect(error.message.length).toBeLessThan(2000);
            if (answer.status === 400 && error.code === "invalid-request" && one.body && change.kind === "value") {
              expect(error.issues ?? [error.message]).not.toEqual([]);
            }
          }
          expect(text.length).toBeLessThan(1024 * 1024);
          if (/mark(?:Complete|Errored|Failed)$/.test(one.path) && answer.status === 204) await takeJob();
        }),
        fuzzParameters("HTTP fuzz", 400),
      );
      expect((await fetch(`${target.url}/healthz`)).status).toBe(200);
      // The run is meaningful only if some requests succeeded and some were refused.
      for (const status of [200, 204, 400]) expect([...statuses.keys()]).toContain(status);
    },
    Number(process.env.AIRLOCK_FUZZ_RUNS ?? 0) * 200 + 120_000,
  );
});
