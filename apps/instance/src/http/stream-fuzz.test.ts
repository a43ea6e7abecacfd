import { createDatabase, describeWithEngines, engines, fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const executorName = "fuzzer";
const timeoutMs = 10_000;

const digits = fc.constantFrom("0", "1", "-1", "2", "999999999", "9999999999", "007", "1e3", "", " ", "x", "%00");
const position = fc.oneof(
  fc.tuple(digits, digits, digits).map((parts) => parts.join(".")),
  fc.constantFrom(
    "",
    ".",
    "..",
    "1.1",
    "1.1.0.0",
    "null",
    "a".repeat(4000),
    "1.1.999999999999999",
    "1.1.99999999999999999999",
  ),
);
const number = fc.constantFrom(
  ...["0", "1", "2", "-1", "1.5", "1e9", "0x1", "99999999999", "9007199254740993", "NaN", "", " ", "null", "true"],
);
const text = fc.oneof(
  fc.constantFrom(
    ...["a".repeat(40), "abc", "/", "..", "../..", "//", "team/own", "%00", "%ff", "\0", "ä", "__proto__", "true"],
    ...["' or 1=1 --", "a\r\nb: c", "x".repeat(3000), "<script>", "\ud83d\ude00", "."],
  ),
  fc.string({ maxLength: 30 }),
);
const uploadQuery = fc.dictionary(
  fc.constantFrom(
    ...["repository", "commit", "root", "indexerName", "indexerVersion", "associatedIndexId", "uploadId", "index"],
    ...["multiPart", "numParts", "done", "uncompressedSize", "__proto__"],
  ),
  fc.oneof(number, text),
  { maxKeys: 8 },
);
const artifactQuery = fc.dictionary(
  fc.constantFrom("attempt", "name", "kind", "__proto__"),
  fc.oneof(number, text, fc.constantFrom("a.tar", "diff", "file-archive")),
  { maxKeys: 4 },
);

describeWithEngines(["postgres"], "random requests to the event streams and uploads of an instance", () => {
  let target: TestInstance;
  let job: TakenJob;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
    await target.submit({ outputs: ["a"] });
    const body = { executorName, airlock: { waitMs: 5000, capabilities: ["results", "attempts", "log-batch"] } };
    job = (await (await target.executor("queue/default/dequeue", body)).json()) as TakenJob;
    const events = [
      { kind: "open", entryId: 1, key: "a", command: ["sh"], startTime: "2026-01-01T00:00:00Z" },
      { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: "YQo=" },
      { kind: "chunk", entryId: 1, offset: 2, stream: "stderr", data: "Ygo=" },
    ];
    await target.executor(
      "queue/default/logs",
      { executorName, jobId: job.id, attempt: 1, events },
      jobHeaders(job, executorName),
    );
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  it(
    "get an event or a refusal, whatever stream position they ask for",
    async () => {
      const routes = ["/api/v1/events", `/api/v1/jobs/${job.id}/events`, "/.executors/events"];
      const streamed = new Set<string>();
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...routes), position, text, async (route, lastEventId, query) => {
          const leave = new AbortController();
          const { administratorToken, executorToken } = target.instance;
          const authorization = route.startsWith("/api")
            ? `Bearer ${administratorToken}`
            : `token-executor ${executorToken}`;
          const asked = new URLSearchParams({ executorName: query.toWellFormed(), entry: query.toWellFormed() });
          const response = await fetch(`${target.url}${route}?${asked}`, {
            headers: { authorization, "last-event-id": lastEventId },
            signal: AbortSignal.any([leave.signal, AbortSignal.timeout(timeoutMs)]),
          });
          expect([200, 400, 404, 414]).toContain(response.status);
          if (response.status === 200 && response.body) {
            streamed.add(route);
            expect(response.headers.get("content-type")).toContain("text/event-stream");
            // A job's stream begins with the job and its stored entries, from any resume position.
            const enough = route.includes("/jobs/") ? /"kind":"job"[\s\S]*"kind":"entry"/ : /^: connected/;
            let received = "";
            for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
              received += part;
              if (enough.test(received)) break;
            }
            expect(received).toMatch(enough);
          }
          leave.abort();
        }),
        fuzzParameters("stream fuzz", 150),
      );
      expect([...streamed]).toEqual(expect.arrayContaining(routes.slice(0, 2)));
      expect((await fetch(`${target.url}/healthz`)).status).toBe(200);
    },
    Number(process.env.AIRLOCK_FUZZ_RUNS ?? 0) * 200 + 60_000,
  );

  it(
    "are accepted or refused when they upload data, and never cause an internal error",
    async () => {
      const statuses = new Set<number>();
      const routes = fc.constantFrom("lsif/upload", "scip/upload", "queue/default/artifacts");
      await fc.assert(
        fc.asyncProperty(
          routes,
          fc.tuple(uploadQuery, artifactQuery),
          fc.uint8Array({ maxLength: 2000 }),
          fc.constantFrom("application/octet-stream", "application/x-protobuf+scip", "text/html", "x", ""),
          number,
          async (route, [upload, artifact], body, type, size) => {
            const isArtifact = route.endsWith("artifacts");
            const valid = isArtifact
              ? { attempt: "1", name: "a.tar", kind: "file-archive" }
              : { repository: "none", commit: "a".repeat(40), root: "/" };
            const given = Object.entries(isArtifact ? artifact : upload);
            const query = new URLSearchParams({ ...valid });
            for (const [name, value] of given) query.set(name, value.toWellFormed());
            const response = await fetch(`${target.url}/.executors/${route}?${query}`, {
              method: isArtifact ? "PUT" : "POST",
              headers: {
                ...(isArtifact
                  ? jobHeaders(job, executorName)
                  : { authorization: `token-executor ${target.instance.executorToken}` }),
                "content-type": type,
                "x-uncompressed-size": size,
              },
              body: Buffer.from(body),
              signal: AbortSignal.timeout(timeoutMs),
            });
            const answer = await response.text();
            statuses.add(response.status);
            expect({ status: response.status, answer }).toEqual({
              status: expect.toSatisfy((status: number) => status < 500),
              answer: expect.not.stringMatching(/internal error/),
            });
            expect(answer.length).toBeLessThan(10_000);
          },
        ),
        fuzzParameters("upload fuzz", 300),
      );
      expect([...statuses]).toEqual(expect.arrayContaining([204, 400, 404]));
      expect((await fetch(`${target.url}/healthz`)).status).toBe(200);
    },
    Number(process.env.AIRLOCK_FUZZ_RUNS ?? 0) * 200 + 60_000,
  );
});
