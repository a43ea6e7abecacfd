import { JobPayload, JobSpec } from "@airlock/api";
import { describe, expect, it } from "vitest";
import type { DequeuedJob } from "../queues/dequeue-job.ts";
import { jobPayload } from "./job-payload.ts";
import { noSecrets } from "./job-secrets.ts";

const job: DequeuedJob = {
  id: 42,
  queue: "default",
  attempt: 2,
  spec: JobSpec.parse({
    repository: "app",
    steps: [
      { key: "test", image: "node:24", run: "npm ci\r\nnpm test\n", dir: "web", env: { CI: true, N: 3 } },
      { image: "alpine", commands: ["echo a", "echo b"] },
    ],
    resources: { cpus: 2, memory: "1Gi" },
    timeout: "90s",
    egress: { allow: ["example.com:443"] },
    services: "docker",
  }),
  repository: "team/app",
  commit: "a".repeat(40),
  leaseMs: 15_000,
  heartbeatIntervalMs: 5000,
  token: "t".repeat(40),
  waitedMs: 3,
  registrySecrets: false,
};

describe("jobPayload", () => {
  it("has the same meaning for an Airlock executor as for the instance", () => {
    const payload = JobPayload.parse(
      jobPayload(job, noSecrets, { version: 2, withQueue: true, withExtension: true, maxArtifactBytes: 1000 }),
    );
    expect(payload).toMatchObject({
      version: 2,
      id: 42,
      queue: "default",
      repositoryName: "team/app",
      repositoryDirectory: "",
      shallowClone: true,
      dockerSteps: [
        { key: "test", image: "node:24", commands: ["npm ci", "npm test"], dir: "web", env: ["CI=true", "N=3"] },
        { key: "1", image: "alpine", commands: ["echo a", "echo b"], dir: "", env: [] },
      ],
      airlock: {
        attempt: 2,
        leaseMs: 15_000,
        heartbeatIntervalMs: 5000,
        timeoutMs: 90_000,
        resources: { cpus: 2, memory: "1Gi" },
        egress: { allow: ["example.com:443"] },
        services: ["docker"],
        shell: "strict",
      },
    });
  });

  it("names no network when the job names none, so that the executor decides", () => {
    const { egress: _, ...spec } = job.spec;
    const payload = jobPayload({ ...job, spec }, noSecrets, {
      version: 2,
      withQueue: true,
      withExtension: true,
      maxArtifactBytes: 1000,
    });
    expect(JobPayload.parse(payload).airlock).not.toHaveProperty("egress");
  });

  it("contains only fields of the base protocol for an executor without extensions", () => {
    const payload = jobPayload({ ...job, repository: null, commit: null }, noSecrets, {
      version: 1,
      withQueue: false,
      withExtension: false,
      maxArtifactBytes: 1000,
    });
    expect(Object.keys(payload)).not.toEqual(expect.arrayContaining(["airlock"]));
    expect(payload).not.toHaveProperty("queue");
    expect(payload).not.toHaveProperty("version");
    expect(payload).not.toHaveProperty("dockerAuthConfig");
    expect(payload).toMatchObject({ repositoryName: "", commit: "", cliSteps: null, sparseCheckout: null });
  });

  it.each([
    [{}, { shallowClone: true, fetchTags: false, sparseCheckout: null }, { depth: 1, tags: "none" }],
    [
      { depth: 50, tags: true },
      { shallowClone: false, fetchTags: true },
      { depth: 50, tags: "reachable" },
    ],
    [{ depth: "full" }, { shallowClone: false, fetchTags: false }, { depth: null, tags: "none" }],
    [{ paths: ["web", "a*"] }, { shallowClone: true, sparseCheckout: ["/web", "/a\\*"] }, { depth: 1, tags: "none" }],
  ] as const)("asks every executor to check out at least %j", (checkout, base, exact) => {
    const spec = JobSpec.parse({ ...job.spec, checkout });
    const options = { version: 2, withQueue: false, maxArtifactBytes: 1000 } as const;
    const extended = jobPayload({ ...job, spec }, noSecrets, { ...options, withExtension: true });
    expect(extended).toMatchObject({ ...base, airlock: { checkout: exact } });
    expect(jobPayload({ ...job, spec }, noSecrets, { ...options, withExtension: false })).toMatchObject(base);
  });

  it("asks for three heartbeats within a short lease", () => {
    const payload = jobPayload({ ...job, leaseMs: 2000 }, noSecrets, {
      version: 2,
      withQueue: false,
      withExtension: true,
      maxArtifactBytes: 1000,
    });
    expect(payload.airlock?.heartbeatIntervalMs).toBe(666);
  });
});
