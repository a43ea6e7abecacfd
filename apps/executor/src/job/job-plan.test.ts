import { JobPayload, type JobPayloadWire } from "@airlock/api";
import { describe, expect, it } from "vitest";
import type { JobOptions } from "../config/options.ts";
import { airlockJob, foreignJob } from "../testing/start-executor.ts";
import { withCertificates } from "./docker-daemon-settings.ts";
import { planJob } from "./job-plan.ts";
import { readPayload } from "./read-payload.ts";

const options = {
  maximumRuntimeMs: 60_000,
  maximumCpus: 4,
  machineCpus: 2,
  maximumMemoryBytes: 1e9,
  maximumPids: 100,
  defaultShmBytes: 64e6,
  maximumDiskBytes: 2e9,
  egress: { default: null, unenforced: "refuse" as const, openable: [] },
  stepCertificateFile: null,
  stepProxy: null,
  registryMirrors: [],
  registryCredentials: {},
  maximumLogBytes: 1e6,
  maximumLogBytesPerSecond: 0,
  deliveryTimeoutMs: 0,
  outputs: { maximumFiles: 10, maximumBytes: 1000, maximumEntries: 100 },
};

interface Offers {
  readonly servicesProblem?: string;
  readonly dockerProblem?: string;
}

const plan = (wire: JobPayloadWire, changes: Partial<JobOptions> = {}, offers: Offers = {}) => {
  const input = readPayload(JobPayload.parse(wire));
  const enforces = { cpu: true, memory: true, pids: true, egressNone: true, egressPublic: true, egressAllow: true };
  const enforcement = { enforces: { ...enforces, disk: "none" as const }, dockerProblem: null, ...offers };
  return planJob(input, { ...options, ...changes }, enforcement);
};

const withExtension = (more: object) => {
  const job = airlockJob(1, ["true"]);
  return { ...job, airlock: { ...job.airlock, ...more } } as JobPayloadWire;
};

describe("a job's plan", () => {
  it("names the connection for uploads, unless the step's own environment does", () => {
    const environments = (job: JobPayloadWire) => plan(job).steps.map(({ env }) => env.SRC_ENDPOINT);
    const job = withExtension({ upload: true });
    const own = { key: "own", image: "test", commands: ["true"], dir: "", env: ["SRC_ENDPOINT=http://own"] };

    expect(plan(job).upload).toBe(true);
    expect(environments({ ...job, dockerSteps: [...(job.dockerSteps ?? []), own] })).toEqual([
      "http://127.0.0.1:7480",
      "http://own",
    ]);
    expect(environments(withExtension({}))).toEqual([undefined]);
  });

  it("refuses uploads where the runtime can't offer the connection, with the reason", () => {
    const servicesProblem = "Only root can listen in a sandbox's network: run the executor as root.";
    const refused = expect.objectContaining({ reason: "policy", hint: servicesProblem });
    expect(() => plan(withExtension({ upload: true }), {}, { servicesProblem })).toThrow(refused);
    expect(plan(withExtension({}), {}, { servicesProblem }).upload).toBe(false);
  });

  it("refuses Docker where the runtime can't offer it, with the reason, and services that it does not know", () => {
    const dockerProblem = "Run as root: executor install microvm --docker";
    const refused = expect.objectContaining({ reason: "policy", hint: dockerProblem });
    const job = withExtension({ services: ["docker"] });
    expect(() => plan(job, {}, { dockerProblem })).toThrow(refused);
    expect(plan(job).docker).toEqual({ registryMirrors: [], environment: {} });
    expect(plan(withExtension({}), {}, { dockerProblem }).docker).toBeNull();
    expect(() => plan(withExtension({ services: ["docker", "podman"] }))).toThrow('does not know the service "podman"');
  });

  it("gives a foreign instance's job the executor's limits, the public internet and the protocol's shell", () => {
    expect(plan(foreignJob(1, ["true"]))).toMatchObject({
      timeout: { ms: 60_000, note: null },
      limits: { cpus: 2, memoryBytes: 1e9, pids: 100, diskBytes: 2e9 },
      egress: { policy: { kind: "public" }, note: null },
      shell: "protocol",
    });
  });

  it("sizes /dev/shm as the job requests, else as the administrator configures, always within the job's memory", () => {
    const shmOf = (resources: object) => plan(withExtension({ resources })).limits.shmBytes;
    expect(shmOf({})).toBe(64e6);
    expect(shmOf({ shm: "512Mi" })).toBe(512 * 1024 * 1024);
    expect(shmOf({ memory: "32M" })).toBe(32e6);
    expect(() => shmOf({ memory: "100M", shm: "200M" })).toThrow(
      /190.7 MiB of shared memory, but its memory limit is 95.4 MiB/,
    );
    expect(() => shmOf({ shm: "2G" })).toThrow(/shared memory/);
  });

  it("tells steps about the administrator's proxy if their network reaches it, unless they set their own", () => {
    const destination = { kind: "name", name: "proxy.example.com", subdomains: false, port: 3128 } as const;
    const stepProxy = { url: "http://proxy.example.com:3128", destination, noProxy: "localhost" };
    const envOf = (egress: string, own: string[] = []) => {
      const job = withExtension({ egress });
      const [step] = job.dockerSteps ?? [];
      if (!step) throw new Error("the job has no step");
      return plan({ ...job, dockerSteps: [{ ...step, env: own }] }, { stepProxy }).steps[0]?.env;
    };
    expect(envOf("public")).toMatchObject({ https_proxy: stepProxy.url, HTTP_PROXY: stepProxy.url });
    expect(envOf("public", ["HTTPS_PROXY=http://own.test:1"])).toMatchObject({ HTTPS_PROXY: "http://own.test:1" });
    expect(JSON.stringify(envOf("none"))).not.toMatch(/proxy/i);
  });

  it("tells a job's Docker daemon about the proxy and the mirrors that the job's network reaches", () => {
    const destination = { kind: "name", name: "proxy.example.com", subdomains: false, port: 3128 } as const;
    const stepProxy = { url: "http://proxy.example.com:3128", destination, noProxy: "localhost" };
    const registryMirrors = ["https://mirror.example.com", "http://10.1.2.3:5000"].map((text) => new URL(text));
    const dockerOf = (egress: object | string) =>
      plan(withExtension({ egress, services: ["docker"] }), { stepProxy, registryMirrors }).docker;
    const environment = expect.objectContaining({ HTTPS_PROXY: stepProxy.url, NO_PROXY: "localhost" });
    expect(dockerOf("public")).toEqual({ registryMirrors: ["https://mirror.example.com"], environment });
    const allow = ["mirror.example.com:443"];
    expect(dockerOf({ allow })).toEqual({ registryMirrors: ["https://mirror.example.com"], environment: {} });
    expect(dockerOf("none")).toEqual({ registryMirrors: [], environment: {} });
    const authorities = { SSL_CERT_FILE: "/airlock/ca-certificates.pem", CURL_CA_BUNDLE: "/airlock/x" };
    const settings = { registryMirrors: [], environment: { HTTPS_PROXY: "http://p" } };
    expect(withCertificates(settings, authorities).environment).toEqual({
      HTTPS_PROXY: "http://p",
      SSL_CERT_FILE: "/airlock/ca-certificates.pem",
    });
    expect(withCertificates(settings, {})).toEqual(settings);
  });

  it("sets no disk limit if the administrator turns it off", () => {
    expect(plan(foreignJob(1, ["true"]), { maximumDiskBytes: null }).limits).not.toHaveProperty("diskBytes");
  });

  it("gives a foreign instance's job no network if the administrator configures that", () => {
    const egress = { ...options.egress, default: "none" as const };
    expect(plan(foreignJob(1, ["true"]), { egress }).egress).toEqual({ policy: { kind: "none" }, note: null });
  });

  it("grants what the job requests as far as it is allowed", () => {
    const resources = { cpus: 0.5, memory: "512Mi", disk: "1G", pids: 10 };
    expect(plan(withExtension({ resources, timeoutMs: 1000, egress: { allow: ["example.com:443"] } }))).toMatchObject({
      timeout: { ms: 1000 },
      limits: { cpus: 0.5, memoryBytes: 512 * 1024 * 1024, pids: 10, diskBytes: 1e9 },
      egress: { policy: { kind: "allow", rules: [{ kind: "name", name: "example.com", port: 443 }] } },
    });
    for (const tooMuch of [{ cpus: 5 }, { memory: "2G" }, { pids: 101 }, { disk: "3G" }]) {
      expect(() => plan(withExtension({ resources: tooMuch }))).toThrow(expect.objectContaining({ reason: "policy" }));
    }
  });

  it("reports that a timeout above the executor's maximum is shortened, and reports nothing otherwise", () => {
    expect(plan(withExtension({ timeoutMs: 48 * 3_600_000 })).timeout).toEqual({
      ms: 60_000,
      note: "timeout: 1m 0s, the maximum of this executor; the job asks for 2d 0h 0m",
    });
    expect(plan(withExtension({ timeoutMs: 60_000 })).timeout).toEqual({ ms: 60_000, note: null });
    expect(plan(withExtension({ timeoutMs: null })).timeout).toEqual({ ms: 60_000, note: null });
  });

  it("refuses a working directory outside the workspace", () => {
    for (const dir of ["/etc", "../x", "a/../../x", "a\0b"]) {
      const dockerSteps = [{ image: "x", commands: ["true"], dir, env: [] }];
      expect(() => plan(foreignJob(1, [], { dockerSteps }))).toThrow(
        expect.objectContaining({ reason: "checkout-invalid" }),
      );
    }
  });

  it("takes values only from the job's environment, never from the executor's", () => {
    const dockerSteps = [{ image: "x", commands: ["true"], dir: "a/b", env: ["A=1=2", "PATH", "=x", "B="] }];

    expect(plan(foreignJob(1, [], { dockerSteps })).steps[0]).toMatchObject({
      name: "0",
      workingDirectory: "/data/a/b",
      env: { A: "1=2", B: "" },
    });
  });

  it("gives steps names that are safe and unique, whatever their keys are", () => {
    const dockerSteps = ["../x", "../x"].map((key) => ({ key, image: "x", commands: [], dir: "", env: [] }));

    expect(plan(foreignJob(1, [], { dockerSteps })).steps.map(({ key }) => key)).toEqual(["0-..-x", "1-..-x"]);
  });
});
