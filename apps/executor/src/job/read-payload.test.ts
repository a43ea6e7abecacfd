import { JobPayload, type JobPayloadWire } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { airlockJob, foreignJob } from "../testing/start-executor.ts";
import { readPayload } from "./read-payload.ts";

const read = (wire: JobPayloadWire) => readPayload(JobPayload.parse(wire));

const withExtension = (more: object) => {
  const job = airlockJob(7, ["true"]);
  return { ...job, airlock: { ...job.airlock, ...more } } as JobPayloadWire;
};

describe("the payload", () => {
  it("of a foreign instance gives the protocol's behavior and no Airlock extension", () => {
    expect(read(foreignJob(7, ["true"]))).toEqual({
      name: "job-7-1",
      steps: [{ name: "only", image: "test", commands: ["true"], directory: "", env: {}, secretFiles: [] }],
      hasSrcSteps: false,
      checkout: null,
      files: [],
      shell: "protocol",
      timeoutMs: null,
      resources: {},
      egress: undefined,
      registryAuth: {},
      redactions: {},
      results: null,
      reportsUsage: false,
      logDelivery: "whole-entries",
      upload: false,
      services: [],
      stepsMaySkip: true,
    });
  });

  it("of an Airlock instance gives its extension", () => {
    const resources = { cpus: 0.5 };
    const airlock = { attempt: 3, timeoutMs: 1000, resources, egress: "public", outputs: ["a"], maxArtifactBytes: 5 };
    expect(read(withExtension(airlock))).toMatchObject({
      name: "job-7-3",
      shell: "strict",
      timeoutMs: 1000,
      resources,
      egress: "public",
      results: { outputs: ["a"], diff: false, maximumBytes: 5 },
      logDelivery: "chunks",
      stepsMaySkip: false,
    });
  });

  it("keeps no results and sends whole entries if the instance does not support more", () => {
    expect(read(withExtension({ capabilities: ["attempts"], outputs: ["a"], diff: true }))).toMatchObject({
      results: null,
      logDelivery: "whole-entries",
    });
  });

  it("names a step by its position if it has no key", () => {
    const dockerSteps = [undefined, "named"].map((key) => ({ key, image: "x", commands: [], dir: "", env: [] }));
    expect(read(foreignJob(1, [], { dockerSteps })).steps.map(({ name }) => name)).toEqual(["0", "named"]);
  });

  it("says how much of the repository is needed, with the protocol's fields if there is no extension", () => {
    const wanted = { repositoryName: "app", commit: "a".repeat(40), sparseCheckout: ["/web"] };
    const checkout = (job: JobPayloadWire) => read({ ...job, ...wanted }).checkout;
    expect(checkout(foreignJob(1, []))).toMatchObject({ depth: null, tags: "none", sparse: ["/web"] });
    expect(checkout(foreignJob(1, [], { shallowClone: true, fetchTags: true }))).toMatchObject({
      depth: 1,
      tags: "all",
    });
    const extended = { ...withExtension({ checkout: { depth: 50, tags: "reachable" } }), fetchTags: true };
    expect(checkout(extended)).toMatchObject({ depth: 50, tags: "reachable" });
    expect(checkout({ ...withExtension({}), shallowClone: true })).toMatchObject({ depth: 1, tags: "none" });
  });

  it("gives each secret file to its own step", () => {
    const dockerSteps = ["a", "b"].map((key) => ({ key, image: "x", commands: [], dir: "", env: [] }));
    const secretFiles = [{ step: 1, name: "TOKEN", value: "s3cret" }];
    const job = { ...withExtension({ secretFiles }), dockerSteps };
    expect(read(job).steps.map((step) => step.secretFiles)).toEqual([[], secretFiles]);
  });

  it("sets variables with a name and a value, and never a host's value for a name alone", () => {
    const dockerSteps = [{ image: "x", commands: [], dir: "", env: ["A=1=2", "PATH", "=x", "B=", "__proto__=y"] }];
    const env = read(foreignJob(1, [], { dockerSteps })).steps[0]?.env ?? {};
    expect(Object.entries(env)).toEqual([
      ["A", "1=2"],
      ["B", ""],
      ["__proto__", "y"],
    ]);
  });

  it("distinguishes file contents by the payload's version and by who stores them", () => {
    const files = { a: { content: "eA==" }, b: { bucket: "batches", key: "1/b" } };
    const contents = (version: number) =>
      read(foreignJob(1, [], { version, files })).files.map(({ content }) => content);
    const stored = { kind: "stored", bucket: "batches", key: "1/b" };
    expect(contents(2)).toEqual([{ kind: "inline", text: "eA==", encoding: "base64" }, stored]);
    expect(contents(1)).toEqual([{ kind: "inline", text: "eA==", encoding: "utf8" }, stored]);
    // Instances from 2022 send plain text in place of the object.
    expect(read(foreignJob(1, [], { version: 1, files: { c: "text" } })).files).toEqual([
      { path: "c", modifiedAt: undefined, content: { kind: "inline", text: "text", encoding: "utf8" } },
    ]);
  });

  it("has the job's token and registry passwords redacted, as well as the values that the instance names", () => {
    const auth = Buffer.from("user:registry-password").toString("base64");
    const job = foreignJob(1, [], {
      token: "job-token",
      redactedValues: { "db-password": "$DB_PASSWORD" },
      dockerAuthConfig: { auths: { "registry.example.com": { auth, identitytoken: "identity" } } },
    });
    expect(read(job).redactions).toEqual({
      "db-password": "$DB_PASSWORD",
      "job-token": "SECRET_REMOVED",
      "registry-password": "SECRET_REMOVED",
      identity: "SECRET_REMOVED",
    });
  });
});
