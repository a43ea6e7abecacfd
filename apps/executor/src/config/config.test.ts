import { describe, expect, it } from "vitest";
import { parseConfig, readDataDir } from "./config.ts";
import { describeVariables } from "./describe-variables.ts";
import { Environment } from "./environment.ts";

const minimal = {
  EXECUTOR_FRONTEND_URL: "https://airlock.example.com",
  EXECUTOR_FRONTEND_PASSWORD: "a-shared-secret-of-some-length",
  EXECUTOR_QUEUE_NAME: "default",
};

describe("the executor's configuration", () => {
  it("uses the protocol's defaults", () => {
    const config = parseConfig(minimal);

    expect(config.worker).toMatchObject({ slots: 1, pollIntervalMs: 1000, totalJobs: 0, drainTimeoutMs: null });
    expect(config.job).toMatchObject({ maximumRuntimeMs: 1_800_000, maximumMemoryBytes: 12e9, maximumLogBytes: 100e6 });
    expect(config.instance.url.href).toBe("https://airlock.example.com/");
  });

  it("accepts only a name as the Docker engine's runtime", () => {
    expect(parseConfig({ ...minimal, EXECUTOR_DOCKER_RUNTIME: "runsc" }).runtime.dockerRuntime).toBe("runsc");
    expect(parseConfig(minimal).runtime.dockerRuntime).toBeNull();
    expect(() => parseConfig({ ...minimal, EXECUTOR_DOCKER_RUNTIME: "../runsc" })).toThrow("EXECUTOR_DOCKER_RUNTIME");
  });

  it("treats an empty variable as unset", () => {
    expect(parseConfig({ ...minimal, EXECUTOR_QUEUE_NAMES: "", EXECUTOR_HEALTH_SERVER_ADDR: "" }).health).toBeNull();
  });

  it("gives jobs the network that the machine can enforce and opens no private address, by default", () => {
    const { job, runtime } = parseConfig(minimal);
    expect(job.egress).toEqual({ default: null, unenforced: "refuse", openable: [] });
    expect(runtime.egress).toEqual({ closed: [], pool: null, nameServers: null });
  });

  it("refuses to run jobs without their limits, by default", () => {
    expect(parseConfig(minimal).runtime.unenforcedLimits).toBe("refuse");
    const permissive = parseConfig({ ...minimal, EXECUTOR_UNENFORCED_LIMITS: "none" });
    expect(permissive.runtime.unenforcedLimits).toBe("none");
  });

  it("accepts the administrator's settings for the networks of jobs", () => {
    const { job, runtime } = parseConfig({
      ...minimal,
      EXECUTOR_DEFAULT_EGRESS: "none",
      EXECUTOR_UNENFORCED_EGRESS: "none",
      EXECUTOR_EGRESS_OPENABLE: "10.1.2.0/24:5432, [fd12::/64]:443\n192.168.7.7",
      EXECUTOR_EGRESS_CLOSED: "10.0.0.0/8, 2001:db8::1",
      EXECUTOR_EGRESS_POOL: "10.77.0.0/16",
      EXECUTOR_EGRESS_NAME_SERVERS: "9.9.9.9, 10.0.0.2:5353, [2620:fe::fe]:53, 2620:fe::9",
    });
    expect(job.egress).toEqual({
      default: "none",
      unenforced: "none",
      openable: [
        { kind: "cidr", cidr: "10.1.2.0/24", port: 5432 },
        { kind: "cidr", cidr: "fd12::/64", port: 443 },
        { kind: "cidr", cidr: "192.168.7.7/32", port: null },
      ],
    });
    expect(runtime.egress).toEqual({
      closed: ["10.0.0.0/8", "2001:db8::1"],
      pool: "10.77.0.0/16",
      nameServers: [
        { address: "9.9.9.9", port: 53 },
        { address: "10.0.0.2", port: 5353 },
        { address: "2620:fe::fe", port: 53 },
        { address: "2620:fe::9", port: 53 },
      ],
    });
  });

  it.each([
    ["EXECUTOR_EGRESS_OPENABLE", "db.example.com:5432"],
    ["EXECUTOR_EGRESS_OPENABLE", "10.0.0.0/33"],
    ["EXECUTOR_EGRESS_CLOSED", "10.0.0.0/8, 127.1"],
    ["EXECUTOR_EGRESS_POOL", "10.0.0.0/8"],
    ["EXECUTOR_EGRESS_POOL", "fd12::/48"],
    ["EXECUTOR_EGRESS_NAME_SERVERS", "dns.example.com"],
    ["EXECUTOR_EGRESS_NAME_SERVERS", "9.9.9.9:99999"],
    ["EXECUTOR_UNENFORCED_EGRESS", "public"],
    ["EXECUTOR_UNENFORCED_LIMITS", "all"],
    ["EXECUTOR_DEFAULT_EGRESS", "all"],
  ])("explains what is wrong with %s=%s", (name, value) => {
    expect(() => parseConfig({ ...minimal, [name]: value })).toThrow(name);
  });

  it("keeps the path of the instance's URL and accepts any queue name", () => {
    const { instance } = parseConfig({
      ...minimal,
      EXECUTOR_FRONTEND_URL: "http://localhost:7080/prefix",
      EXECUTOR_QUEUE_NAME: undefined,
      EXECUTOR_QUEUE_NAMES: "batches, gpu-large",
    });

    expect(instance.url.href).toBe("http://localhost:7080/prefix/");
    expect(instance.queues).toEqual({ kind: "several", names: ["batches", "gpu-large"] });
  });

  it("reports every problem at once, each with its variable", () => {
    const attempt = () =>
      parseConfig({
        EXECUTOR_FRONTEND_URL: "airlock.example.com",
        EXECUTOR_QUEUE_NAME: "Not A Queue",
        EXECUTOR_QUEUE_NAMES: "x",
        EXECUTOR_JOB_MEMORY: "lots",
        EXECUTOR_MAXIMUM_NUM_JOBS: "-1",
        EXECUTOR_QUEUE_POLL_INTERVAL: "1 second",
        EXECUTOR_LABELS: "gpu",
        EXECUTOR_RUNTIME: "podman",
      });

    for (const name of [
      "EXECUTOR_FRONTEND_URL",
      "EXECUTOR_FRONTEND_PASSWORD is not set",
      "EXECUTOR_QUEUE_NAME ",
      "are both set",
      "EXECUTOR_JOB_MEMORY",
      "EXECUTOR_MAXIMUM_NUM_JOBS",
      "EXECUTOR_QUEUE_POLL_INTERVAL",
      "EXECUTOR_LABELS",
      "EXECUTOR_RUNTIME must be",
    ]) {
      expect(attempt).toThrow(name);
    }
  });

  it("requires the host gateway if the instance can be reached only through it", () => {
    const environment = { ...minimal, EXECUTOR_FRONTEND_URL: "http://host.docker.internal:3080" };

    expect(() => parseConfig(environment)).toThrow("EXECUTOR_DOCKER_ADD_HOST_GATEWAY");
    expect(parseConfig({ ...environment, EXECUTOR_DOCKER_ADD_HOST_GATEWAY: "true" }).runtime.addHostGateway).toBe(true);
  });

  it("never repeats the shared secret in an error", () => {
    expect(() => parseConfig({ EXECUTOR_FRONTEND_PASSWORD: minimal.EXECUTOR_FRONTEND_PASSWORD })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(minimal.EXECUTOR_FRONTEND_PASSWORD) }),
    );
  });

  it("reads registry credentials in Docker's own format, and never repeats them in an error", () => {
    const auth = Buffer.from("user:pass:word").toString("base64");
    const registries = { "https://registry.example.com/v1/": { auth }, "https://index.docker.io/v1/": { auth } };
    const text = JSON.stringify({ auths: { ...registries, "helped.example.com": {} } });

    expect(parseConfig({ ...minimal, EXECUTOR_DOCKER_AUTH_CONFIG: text }).job.registryCredentials).toEqual({
      "registry.example.com": { username: "user", password: "pass:word" },
      "docker.io": { username: "user", password: "pass:word" },
    });
    expect(() => parseConfig({ ...minimal, EXECUTOR_DOCKER_AUTH_CONFIG: `${text}}` })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(auth) }),
    );
  });

  it("reads the administrator's image policy, and explains what is wrong with it", () => {
    const { runtime } = parseConfig({
      ...minimal,
      EXECUTOR_ALLOWED_IMAGES: "alpine, registry.example.com/*",
      EXECUTOR_DENIED_IMAGES: "*:latest",
      EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: "https://mirror.example.com, http://10.0.0.1:5000/",
      EXECUTOR_IMAGE_CACHE_SIZE: "0",
    });
    expect(runtime.images).toMatchObject({
      policy: { pull: "if-not-present", requireDigest: false, denied: [{ name: "*", version: ":latest" }] },
      cacheBytes: null,
      certificatesDirectory: "/etc/docker/certs.d",
    });
    expect(runtime.images.policy.allowed?.map(({ name }) => name)).toEqual([
      "docker.io/library/alpine",
      "registry.example.com/*",
    ]);
    expect(runtime.images.mirrors.map(({ origin }) => origin)).toEqual([
      "https://mirror.example.com",
      "http://10.0.0.1:5000",
    ]);
    expect(parseConfig(minimal).runtime.images.policy).toMatchObject({ allowed: null, denied: [] });

    const refused = (more: Record<string, string>) => () => parseConfig({ ...minimal, ...more });
    expect(refused({ EXECUTOR_ALLOWED_IMAGES: "registry.example.com*" })).toThrow(/EXECUTOR_ALLOWED_IMAGES is wrong/);
    expect(refused({ EXECUTOR_IMAGE_PULL_POLICY: "sometimes" })).toThrow(/must be if-not-present/);
    const mirror = "https://user:hunter2@mirror.example.com";
    expect(refused({ EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: mirror })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hunter2") }),
    );
    expect(refused({ EXECUTOR_STEP_CA_CERTIFICATES: "true" })).toThrow(
      /NODE_EXTRA_CA_CERTS names no certificate authorities/,
    );
  });

  it("gives a job the whole machine if the protocol's limit is 0", () => {
    const { job } = parseConfig({ ...minimal, EXECUTOR_JOB_NUM_CPUS: "0", EXECUTOR_JOB_MEMORY: "0" });

    expect(job.maximumCpus).toBe(job.machineCpus);
    expect(job.maximumMemoryBytes).toBeGreaterThan(0);
  });

  it("accepts the older names of limits, but prefers the newer ones", () => {
    const older = { EXECUTOR_FIRECRACKER_NUM_CPUS: "1", EXECUTOR_FIRECRACKER_MEMORY: "1G" };

    expect(parseConfig({ ...minimal, ...older }).job).toMatchObject({ maximumCpus: 1, maximumMemoryBytes: 1e9 });
    expect(parseConfig({ ...minimal, ...older, EXECUTOR_JOB_MEMORY: "2G" }).job.maximumMemoryBytes).toBe(2e9);
  });

  it("names an older variable in its error", () => {
    const wrong = { EXECUTOR_FIRECRACKER_NUM_CPUS: "x", EXECUTOR_FIRECRACKER_MEMORY: "-1" };
    expect(() => parseConfig({ ...minimal, ...wrong })).toThrow(
      /EXECUTOR_FIRECRACKER_NUM_CPUS "x" is not .*\n.*EXECUTOR_FIRECRACKER_MEMORY "-1" is not a size/,
    );
    expect(() => parseConfig({ ...minimal, ...wrong, EXECUTOR_JOB_NUM_CPUS: "y" })).toThrow(
      'EXECUTOR_JOB_NUM_CPUS "y" is not',
    );
  });

  it("chooses what runs virtual machines, and refuses what can't be", () => {
    const machine = (more: Record<string, string>) => parseConfig({ ...minimal, ...more }).runtime.microvm;
    expect(machine({})).toMatchObject({ monitor: "auto", accelerator: "auto", firecracker: null, jailer: null });
    const firecracker = { EXECUTOR_FIRECRACKER: "/opt/firecracker", EXECUTOR_JAILER: "/opt/jailer" };
    const all = { ...firecracker, EXECUTOR_VM_MONITOR: "firecracker", EXECUTOR_VM_ACCELERATOR: "kvm" };
    expect(machine(all)).toMatchObject({
      monitor: "firecracker",
      firecracker: "/opt/firecracker",
      jailer: "/opt/jailer",
    });
    for (const [name, value, problem] of [
      ["EXECUTOR_VM_MONITOR", "ignite", "must be auto, firecracker or qemu"],
      ["EXECUTOR_VM_ACCELERATOR", "hvf", "must be auto, kvm or tcg"],
      ["EXECUTOR_FIRECRACKER", "firecracker", "must be the absolute path of firecracker"],
      ["EXECUTOR_JAILER", "bin/jailer", "must be the absolute path of jailer"],
    ] as const) {
      expect(() => machine({ [name]: value })).toThrow(`${name} ${problem}`);
    }
    expect(() => machine({ ...all, EXECUTOR_VM_ACCELERATOR: "tcg" })).toThrow(
      "EXECUTOR_VM_MONITOR asks for Firecracker, which needs KVM, and EXECUTOR_VM_ACCELERATOR for tcg",
    );
  });

  it("limits the cores of virtual machines to 32", () => {
    const job = (more: Record<string, string>) => parseConfig({ ...minimal, ...more }).job;
    const machines = { EXECUTOR_RUNTIME: "microvm" };
    expect(job({ ...machines, EXECUTOR_JOB_NUM_CPUS: "32" }).maximumCpus).toBe(32);
    expect(job({ EXECUTOR_JOB_NUM_CPUS: "33" }).maximumCpus).toBe(33);
    expect(job({ ...machines, EXECUTOR_JOB_NUM_CPUS: "0" }).maximumCpus).toBeLessThanOrEqual(32);
    for (const given of [machines, { EXECUTOR_USE_FIRECRACKER: "true" }]) {
      const older = { ...given, EXECUTOR_FIRECRACKER_NUM_CPUS: "64" };
      expect(() => job(older)).toThrow("EXECUTOR_FIRECRACKER_NUM_CPUS must be at most 32 for virtual machines");
    }
  });

  it("runs virtual machines by the protocol's variable, too, but not beside another runtime", () => {
    const kind = (more: Record<string, string>) => parseConfig({ ...minimal, ...more }).runtime.kind;
    expect(kind({})).toBe("auto");
    expect(kind({ EXECUTOR_RUNTIME: "microvm" })).toBe("microvm");
    expect(kind({ EXECUTOR_USE_FIRECRACKER: "true" })).toBe("microvm");
    expect(kind({ EXECUTOR_USE_FIRECRACKER: "1", EXECUTOR_RUNTIME: "microvm" })).toBe("microvm");
    expect(kind({ EXECUTOR_USE_FIRECRACKER: "false", EXECUTOR_RUNTIME: "oci" })).toBe("oci");
    expect(() => kind({ EXECUTOR_USE_FIRECRACKER: "true", EXECUTOR_RUNTIME: "oci" })).toThrow(
      "EXECUTOR_USE_FIRECRACKER asks for virtual machines, and EXECUTOR_RUNTIME for oci",
    );
    expect(parseConfig({ ...minimal, EXECUTOR_QEMU: "/opt/qemu" }).runtime.microvm.qemu).toBe("/opt/qemu");
    const limits = {
      EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS: "1000000",
      EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS: "2000000",
    };
    expect(parseConfig({ ...minimal, ...limits }).runtime.microvm.bandwidth).toEqual({ ingress: 1e6, egress: 2e6 });
    expect(parseConfig(minimal).runtime.microvm.bandwidth).toEqual({ ingress: 524_288_000, egress: 524_288_000 });
    for (const bad of ["0", "-1", "1.5", "fast"]) {
      const wrong = { ...minimal, EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS: bad };
      expect(() => parseConfig(wrong)).toThrow("EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS");
    }
    expect(() => parseConfig({ ...minimal, EXECUTOR_QEMU: "qemu" })).toThrow("EXECUTOR_QEMU must be the absolute path");
    const poolSize = (text: string) =>
      parseConfig({ ...minimal, EXECUTOR_VM_POOL_SIZE: text }).runtime.microvm.poolSize;
    expect([parseConfig(minimal).runtime.microvm.poolSize, poolSize("0"), poolSize("32")]).toEqual([1, 0, 32]);
    for (const bad of ["33", "-1", "two", "1.5"]) {
      expect(() => poolSize(bad)).toThrow(/EXECUTOR_VM_POOL_SIZE.*is not a whole number from 0 to 32/);
    }
  });

  it("says why variables of virtual machines have no effect on another runtime", () => {
    const reasons = {
      EXECUTOR_FIRECRACKER_IMAGE: "its root file system is the step's image",
      EXECUTOR_FIRECRACKER_KERNEL_IMAGE: "kernel comes from `executor install microvm`",
      EXECUTOR_FIRECRACKER_SANDBOX_IMAGE: "has no effect",
      EXECUTOR_VM_STARTUP_SCRIPT_PATH: "has no effect without EXECUTOR_RUNTIME=microvm",
      EXECUTOR_VM_PREFIX: "has no effect without EXECUTOR_RUNTIME=microvm",
    };
    const values = Object.fromEntries(Object.keys(reasons).map((name) => [name, name.endsWith("_PATH") ? "/x" : "x"]));
    const { notes } = parseConfig({ ...minimal, ...values });
    expect(notes).toHaveLength(Object.keys(reasons).length);
    for (const [name, reason] of Object.entries(reasons)) {
      expect(notes).toContainEqual(expect.stringMatching(new RegExp(`^${name} .*${reason}`)));
    }
  });

  it("reads the prefix and the startup script of virtual machines", () => {
    const machines = (more: Record<string, string>) => {
      const { runtime, notes } = parseConfig({ ...minimal, EXECUTOR_RUNTIME: "microvm", ...more });
      return [runtime.microvm.namePrefix, runtime.microvm.startupScriptFile, notes];
    };
    expect(machines({})).toEqual(["executor", null, []]);
    const set = { EXECUTOR_VM_PREFIX: "build-a", EXECUTOR_VM_STARTUP_SCRIPT_PATH: "/etc/start.sh" };
    expect(machines(set)).toEqual(["build-a", "/etc/start.sh", []]);
    for (const bad of ["A", "a_b", "-a", "a-", "a b", "a/../b", "x".repeat(21)])
      expect(() => machines({ EXECUTOR_VM_PREFIX: bad })).toThrow("EXECUTOR_VM_PREFIX must be lower-case letters");
    expect(() => machines({ EXECUTOR_VM_STARTUP_SCRIPT_PATH: "start.sh" })).toThrow(
      "EXECUTOR_VM_STARTUP_SCRIPT_PATH must be an absolute path",
    );
    expect(machines({ EXECUTOR_OCI_RUNTIME: "crun", EXECUTOR_ALLOW_HOST_IMAGE: "true" })[2]).toEqual([
      "EXECUTOR_OCI_RUNTIME has no effect in virtual machines.",
      "EXECUTOR_ALLOW_HOST_IMAGE has no effect in virtual machines.",
    ]);
  });

  it("finds the data directory without any other setting", () => {
    expect(readDataDir({ EXECUTOR_DATA_DIR: "/data" })).toBe("/data");
    expect(readDataDir({ EXECUTOR_DATA_DIR: "" })).toBe(parseConfig(minimal).dataDir);
    expect(readDataDir({})).toBe(parseConfig(minimal).dataDir);
  });

  it("refuses unsupported settings that are dangerous to ignore, and reports settings without effect", () => {
    for (const name of ["EXECUTOR_DOCKER_HOST_MOUNT_PATH", "EXECUTOR_DOCKER_ADDITIONAL_MOUNTS"])
      expect(() => parseConfig({ ...minimal, [name]: "/x" })).toThrow(`${name} is not supported`);
    const { notes } = parseConfig({
      ...minimal,
      EXECUTOR_KUBERNETES_NAMESPACE: "x",
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
      EXECUTOR_RUNTIM: "oci",
      HOME: "/root",
    });

    expect(notes).toEqual([
      "EXECUTOR_RUNTIM is not a variable of this executor; did you mean EXECUTOR_RUNTIME?",
      expect.stringContaining("EXECUTOR_KUBERNETES_NAMESPACE has no effect without EXECUTOR_RUNTIME=kubernetes"),
    ]);
  });

  it("accepts durations of a year, and names the variable of a longer one", () => {
    const durations = describeVariables()
      .flatMap(({ variables }) => variables)
      .filter(({ values }) => values.startsWith("a duration"));
    expect(durations.length).toBeGreaterThan(5);
    for (const { name } of durations) {
      expect(() => parseConfig({ ...minimal, [name]: "365d" })).not.toThrow();
      expect(() => parseConfig({ ...minimal, [name]: "366d" })).toThrow(new RegExp(`${name}.* must be at most 365d`));
    }
  });

  it("describes every variable in one sentence, with its actual default", () => {
    const variables = describeVariables().flatMap((group) => group.variables);

    for (const { name, description } of variables) expect(description, name).toMatch(/^[A-Z].*\.$/);
    expect(new Set(variables.map(({ name }) => name))).toEqual(new Set(Object.keys(Environment.shape)));
    expect(variables).toContainEqual(expect.objectContaining({ name: "EXECUTOR_JOB_MEMORY", default: "12G" }));
    expect(variables).toContainEqual(
      expect.objectContaining({
        name: "EXECUTOR_RUNTIME",
        default: "auto",
        values: "`auto`, `docker`, `oci`, `microvm`, `kubernetes`",
      }),
    );
  });
});
