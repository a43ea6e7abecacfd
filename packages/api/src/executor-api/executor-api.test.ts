import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DequeueRequest,
  HeartbeatRequest,
  HeartbeatResponse,
  JobPayload,
  LogBatchRequest,
  MarkErrorRequest,
  MultiQueueHeartbeatRequest,
} from "./index.ts";

const payload2024 = {
  version: 2,
  id: 42,
  token: "9f0c",
  repositoryName: "git.example.com/team/app",
  repositoryDirectory: "repository",
  commit: "a".repeat(40),
  fetchTags: false,
  shallowClone: true,
  sparseCheckout: null,
  files: {
    "input.json": { content: "eyJ9", modifiedAt: "0001-01-01T00:00:00Z" },
    "workspace-files/fix.py": { bucket: "batch-changes", key: "a/b", modifiedAt: "2024-02-01T10:00:00Z" },
  },
  dockerSteps: [{ key: "step.0.pre", image: "helper:1", commands: ["pre 0"], dir: ".", env: ["TOKEN=x"] }],
  cliSteps: null,
  redactedValues: { s3cr3t: "TOKEN" },
  dockerAuthConfig: {},
};

describe("JobPayload", () => {
  it("reads a 2024 payload, including Go's nulls and zero times", () => {
    const job = JobPayload.parse(payload2024);
    expect(job).toMatchObject({ sparseCheckout: [], cliSteps: [] });
    expect(job.files["input.json"]?.modifiedAt).toBeUndefined();
    expect(job.files["workspace-files/fix.py"]?.modifiedAt).toEqual(new Date("2024-02-01T10:00:00Z"));
  });

  it("reads a 2022 payload, which has text files but no token and no keys", () => {
    const job = JobPayload.parse({
      id: 7,
      repositoryName: "r",
      commit: "b".repeat(40),
      files: { "a.txt": "hello" },
      dockerSteps: [{ image: "i", commands: ["true"], dir: "", env: null }],
      cliSteps: null,
      redactedValues: null,
    });
    expect(job).toMatchObject({ token: "", files: { "a.txt": { content: "hello" } }, redactedValues: {} });
  });

  it("ignores members that a newer instance adds", () => {
    expect(JobPayload.safeParse({ ...payload2024, future: { x: 1 } }).success).toBe(true);
  });
});

describe("heartbeats", () => {
  it("accept ids as numbers and as strings", () => {
    expect(HeartbeatRequest.parse({ executorName: "h", jobIds: [42, "43"] }).jobIds).toEqual([42, 43]);
  });

  it("treat null as no jobs", () => {
    expect(HeartbeatRequest.parse({ executorName: "h", jobIds: null }).jobIds).toEqual([]);
  });

  it("require queue names on the multi-queue route", () => {
    expect(MultiQueueHeartbeatRequest.safeParse({ executorName: "h", queueNames: [] }).success).toBe(false);
  });

  it("are answered as a bare array of numbers or strings, or as null, and all are read alike", () => {
    expect(HeartbeatResponse.parse([42])).toEqual({ knownIds: ["42"], cancelIds: [] });
    expect(HeartbeatResponse.parse({ knownIds: [42], cancelIds: null })).toEqual({ knownIds: ["42"], cancelIds: [] });
    expect(HeartbeatResponse.parse(null)).toEqual({ knownIds: [], cancelIds: [] });
    expect(HeartbeatResponse.parse({ knownIds: ["42-batches"], cancelIds: ["42-batches"] }).cancelIds).toEqual([
      "42-batches",
    ]);
  });
});

describe("requests of an executor", () => {
  it.each([
    ["an empty name", DequeueRequest, { executorName: "" }],
    ["a wait over a minute", DequeueRequest, { executorName: "h", airlock: { waitMs: 60_001 } }],
    ["a job id of zero", HeartbeatRequest, { executorName: "h", jobIds: [0] }],
    ["a job id above 2^53", HeartbeatRequest, { executorName: "h", jobIds: ["9007199254740993"] }],
    ["a reason that does not exist", MarkErrorRequest, { executorName: "h", jobId: 1, reason: "bored" }],
    [
      "a chunk that is not base64",
      LogBatchRequest,
      {
        executorName: "h",
        jobId: 1,
        attempt: 1,
        events: [{ kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: "%%%%" }],
      },
    ],
    [
      "a negative offset",
      LogBatchRequest,
      {
        executorName: "h",
        jobId: 1,
        attempt: 1,
        events: [{ kind: "chunk", entryId: 1, offset: -1, stream: "stdout", data: "YQ==" }],
      },
    ],
    ["an empty batch", LogBatchRequest, { executorName: "h", jobId: 1, attempt: 1, events: [] }],
  ])("with %s are refused", (_title, schema, body) => {
    expect(schema.safeParse(body).success).toBe(false);
  });

  it("of any shape are either parsed or refused, and never cause an exception", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        for (const schema of [
          DequeueRequest,
          HeartbeatRequest,
          MultiQueueHeartbeatRequest,
          LogBatchRequest,
          MarkErrorRequest,
          JobPayload,
        ]) {
          schema.safeParse(body);
        }
      }),
    );
  });
});
