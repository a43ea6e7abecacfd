import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { rootCertificates } from "node:tls";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostProcessRuntime } from "./testing/host-process-runtime.ts";
import { ScriptedInstance, testSecret } from "./testing/scripted-instance.ts";
import { airlockJob, foreignJob, startExecutor } from "./testing/start-executor.ts";

let instance: ScriptedInstance;
let dataDir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dataDir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start());
});

afterEach(async () => {
  await stack.disposeAsync();
});

async function start(env: Record<string, string> = {}, runtime?: HostProcessRuntime) {
  return stack.use(await startExecutor({ url: instance.url, dataDir, runtime, env }));
}

const ended = (route: string) => () => instance.bodies(route).length > 0;

describe("an executor with an instance of the protocol", () => {
  it("runs a job, sends its log as whole entries and reports its outcome", async () => {
    await start();
    instance.enqueue(foreignJob(7, ["echo out", "echo err >&2", "printf tail"]));

    await instance.until(ended("markComplete"));

    expect(instance.bodies("markComplete")).toEqual([expect.objectContaining({ jobId: 7 })]);
    expect(instance.entries(7).map(({ key, exitCode }) => [key, exitCode])).toEqual([
      // This entry exists because the test's runtime enforces no egress policy.
      ["setup.network", 0],
      ["setup.fs.extras", 0],
      ["setup.image", 0],
      ["step.docker.only", 0],
      ["teardown.fs", 0],
    ]);
    const lines = instance.output(7, "step.docker.only").split("\n");
    expect(lines).toContain("stdout: out");
    expect(lines).toContain("stderr: err");
    expect(lines).toContain("stdout: tail");
    // The protocol's shell traces each command.
    expect(lines).toContain("stderr: + echo out");
  });

  it("uses the shared secret if the job has no token, and the token if it has one", async () => {
    await start();
    instance.enqueue(foreignJob(1, ["true"]));
    instance.enqueue(foreignJob(2, ["true"], { token: "cafe" }));

    await instance.until(() => instance.bodies("markComplete").length === 2);

    const marks = instance.requests.filter(({ path }) => path.endsWith("/markComplete"));
    expect(marks.map(({ headers }) => headers.authorization)).toEqual([`token-executor ${testSecret}`, "Bearer cafe"]);
    expect(marks.map(({ headers }) => headers["x-sourcegraph-job-id"])).toEqual(["1", "2"]);
    expect(marks[0]?.headers["x-sourcegraph-executor-name"]).toBe(marks[0]?.body.executorName);
  });

  it("reports a failing step with its key and exit code, and runs no further step", async () => {
    await start();
    const step = (key: string, command: string) => ({ key, image: "test", commands: [command], dir: "", env: [] });
    instance.enqueue(foreignJob(3, [], { dockerSteps: [step("first", "exit 3"), step("second", "true")] }));

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({
      errorMessage: 'step "first" exited with 3',
      reason: "step-failed",
      exitCode: 3,
    });
    expect(instance.entries(3).map(({ key }) => key)).not.toContain("step.docker.second");
  });

  it("stops a job that a heartbeat cancels, and reports it as canceled", async () => {
    await start();
    instance.enqueue(foreignJob(4, ["sleep 60"]));
    await instance.until(() => instance.entries(4).some(({ key }) => key === "step.docker.only"));
    instance.canceled.add(4);

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({ jobId: 4, errorMessage: "canceled" });
  }, 20_000);

  it("stops a job that the instance no longer knows, and does not report it", async () => {
    const runtime = new HostProcessRuntime();
    const executor = await start({}, runtime);
    instance.enqueue(foreignJob(5, ["sleep 60"]));
    await instance.until(() => runtime.liveSandboxes === 1);
    instance.unknown.add(5);

    await instance.until(() => runtime.liveSandboxes === 0);
    await instance.until(() => executor.logLines.some((line) => line.includes("job ended")));

    expect(instance.requests.filter(({ path }) => path.includes("/mark"))).toEqual([]);
  }, 20_000);

  it("ignores a failed heartbeat and keeps its jobs running", async () => {
    await start();
    instance.intervene = ({ path, body }) =>
      path.endsWith("/heartbeat") && body.jobIds?.length ? { status: 500, body: "broken" } : undefined;
    instance.enqueue(foreignJob(6, ["sleep 7"]));

    await instance.until(ended("markComplete"));

    expect(instance.bodies("heartbeat").some(({ jobIds }) => jobIds?.length)).toBe(true);
  }, 20_000);

  it("refuses steps that need the src command, with a clear failure", async () => {
    await start();
    instance.enqueue(foreignJob(8, [], { cliSteps: [{ command: ["batch", "exec"], dir: ".", env: [] }] }));

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({ reason: "policy" });
    expect(instance.bodies("markFailed")[0]?.errorMessage).toContain("src steps");
  });

  it("skips steps as skip.json says, and does not follow a link in place of that file", async () => {
    await start();
    const step = (key: string, command: string) => ({ key, image: "test", commands: [command], dir: "", env: [] });
    instance.enqueue(
      foreignJob(9, [], {
        dockerSteps: [
          step("step.0.pre", `echo '{"nextStep":"step.1.pre"}' > skip.json`),
          step("step.0.run", "exit 9"),
          step("step.1.pre", `rm -f skip.json; echo '{"nextStep":"step.9.pre"}' > target; ln -s target skip.json`),
          step("step.1.run", "true"),
        ],
      }),
    );

    await instance.until(ended("markComplete"));

    const keys = instance.entries(9).map(({ key }) => key);
    expect(keys).not.toContain("step.docker.step.0.run");
    expect(keys).toContain("step.docker.step.1.run");
  });
});

describe("an executor whose instance answers heartbeats with null, which means it knows none of its jobs", () => {
  it("stops the job and does not report it", async () => {
    await start();
    instance.enqueue(foreignJob(1, ["echo started", "sleep 60"]));
    await instance.until(() => instance.output(1, "step.docker.only").includes("started"));
    instance.intervene = ({ path }) => (path.endsWith("/heartbeat") ? { status: 200, body: "null" } : undefined);
    instance.enqueue(foreignJob(2, ["true"]));
    await instance.until(() => instance.bodies("markComplete").some(({ jobId }) => jobId === 2));
    const reports = instance.requests.filter(({ path, body }) => path.includes("/mark") && body.jobId === 1);
    expect(reports).toEqual([]);
  });
});

describe("an executor with an instance of Airlock", () => {
  it("asks for jobs with a long poll and sends its log in chunks, redacted", async () => {
    await start();
    const secret = "top-secret-value";
    instance.enqueue(
      airlockJob(1, [`echo value=${secret}`, `printf ${secret.slice(0, 7)}; sleep 0.2; echo ${secret.slice(7)}`], {
        redactedValues: { [secret]: "{{ secrets.X }}" },
      }),
    );

    await instance.until(ended("markComplete"));

    expect(instance.output(1, "step.docker.only")).toBe("value={{ secrets.X }}\n{{ secrets.X }}\n");
    // The test's runtime offers no connections for uploads, and no Docker.
    expect(instance.bodies("dequeue")[0]?.airlock?.capabilities).toContain("results");
    expect(instance.bodies("dequeue")[0]?.airlock?.capabilities).not.toContain("uploads");
    expect(instance.bodies("dequeue")[0]?.airlock?.capabilities).not.toContain("docker");
    expect(instance.bodies("dequeue")[0]?.airlock?.capabilities).not.toContain("container-images-only");
    expect(instance.bodies("dequeue")[0]?.airlock?.waitMs).toBeGreaterThan(10_000);
    expect(instance.bodies("markComplete")[0]).toMatchObject({ attempt: 1 });
    expect(instance.bodies("addExecutionLogEntry")).toEqual([]);
  });

  it("ends a strict step at its first failing command, without tracing commands", async () => {
    await start();
    instance.enqueue(airlockJob(2, ["echo before", "false", "echo after"]));

    await instance.until(ended("markFailed"));

    expect(instance.output(2, "step.docker.only")).toBe("before\n");
  });

  it("sends lost log data again, and nothing twice", async () => {
    await start();
    let stored = 0;
    instance.intervene = ({ path }) => {
      if (!path.endsWith("/logs")) return undefined;
      stored += 1;
      return stored % 3 === 0 ? { status: 503, body: "busy" } : stored % 3 === 1 ? "drop" : undefined;
    };
    instance.enqueue(airlockJob(3, ["for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.05; done"]));

    await instance.until(ended("markComplete"));

    expect(instance.output(3, "step.docker.only")).toBe([1, 2, 3, 4, 5, 6, 7, 8].map((i) => `line ${i}\n`).join(""));
  });

  it("completes a job even if its log can't be delivered", async () => {
    const executor = await start();
    instance.intervene = ({ path }) => (path.endsWith("/logs") ? { status: 400, body: "no" } : undefined);
    instance.enqueue(airlockJob(4, ["yes | head -c 20000000"]));

    await instance.until(ended("markComplete"));

    expect(executor.logLines.join("")).toContain("not delivered");
  });

  it("stays within the log limit, counts what it drops and reports that", async () => {
    await start({ EXECUTOR_MAXIMUM_LOG_SIZE: "100k" });
    instance.enqueue(airlockJob(5, ["yes 0123456789 | head -c 50000000"]));

    await instance.until(ended("markComplete"));

    const output = instance.output(5, "step.docker.only");
    expect(output.length).toBeLessThan(101_000);
    expect(output).toMatch(/47\.\d MiB of output dropped/);
  });

  it("stops a job at once when the event stream cancels it", async () => {
    await start();
    instance.enqueue(airlockJob(6, ["sleep 60"]));
    await instance.until(() => instance.entries(6).some(({ key }) => key === "step.docker.only"));
    await instance.until(() => instance.requests.some(({ path }) => path.endsWith("/events")));
    await sleep(50);
    const startedAt = performance.now();
    instance.sendEvent({ kind: "cancel", jobId: 6, attempt: 1 });

    await instance.until(ended("markFailed"));

    expect(performance.now() - startedAt).toBeLessThan(1500);
    expect(instance.bodies("markFailed")[0]?.reason).toBeUndefined();
  });

  it("repeats the report of a job's outcome until it is answered", async () => {
    await start();
    let asked = 0;
    instance.intervene = ({ path }) => {
      if (!path.endsWith("/markComplete")) return undefined;
      asked += 1;
      return asked <= 3 ? (asked % 2 ? "drop" : { status: 502, body: "" }) : undefined;
    };
    instance.enqueue(airlockJob(8, ["true"]));

    await instance.until(() => asked > 3);

    expect(instance.bodies("markComplete").length).toBeGreaterThanOrEqual(4);
  });

  it("ends a job at its timeout, with a message that says so", async () => {
    await start();
    const job = airlockJob(9, ["sleep 60"]);
    instance.enqueue({ ...job, airlock: { ...airlockDefaults, timeoutMs: 500 } });

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({ reason: "timeout" });
    expect(instance.bodies("markFailed")[0]?.errorMessage).toContain("exceeded the maximum execution time");
  });

  it("offers exactly its limits, so that a job that asks for them gets them", async () => {
    await start({ EXECUTOR_JOB_MEMORY: "512Mi", EXECUTOR_JOB_DISK: "64Mi" });

    await instance.until(() => instance.bodies("dequeue").length > 0);

    expect(instance.bodies("dequeue")[0]).toMatchObject({ memory: "536870912", diskSpace: "67108864" });
  });

  it("refuses what the administrator does not allow", async () => {
    await start({ EXECUTOR_JOB_MEMORY: "1G" });
    const job = airlockJob(10, ["true"]);
    instance.enqueue({ ...job, airlock: { ...airlockDefaults, resources: { memory: "2G" } } });

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({ reason: "policy" });
  });

  it("reports an image that does not exist as the job's failure, in the log too", async () => {
    await start();
    instance.enqueue(
      airlockJob(11, [], { dockerSteps: [{ key: "x", image: "missing", commands: ["true"], dir: "", env: [] }] }),
    );

    await instance.until(ended("markFailed"));

    expect(instance.bodies("markFailed")[0]).toMatchObject({ reason: "image-invalid" });
    expect(instance.output(11, "setup.image")).toContain('image "missing" does not exist');
  });

  it("says in the log that it shortens a timeout, and names the limit when the job times out", async () => {
    await start({ EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: "1s" });
    const job = airlockJob(1, ["sleep 60"]);
    instance.enqueue({ ...job, airlock: { ...airlockDefaults, timeoutMs: 48 * 3_600_000 } });

    await instance.until(ended("markFailed"));

    expect(instance.output(1, "setup.timeout")).toContain("the job asks for 2d 0h 0m");
    expect(instance.bodies("markFailed")[0]?.errorMessage).toMatch(/exceeded .* 1\.0s, the executor's maximum/);
  });

  it("gives the job's registry credentials only to the runtime", async () => {
    const runtime = new HostProcessRuntime();
    const encode = (text: string) => Buffer.from(text).toString("base64");
    const own = { "registry.example.com": { auth: encode("executor:of-the-executor") } };
    await start({ EXECUTOR_DOCKER_AUTH_CONFIG: JSON.stringify({ auths: own }) }, runtime);
    const auths = { "private.example.com": { auth: encode("job:password-of-the-job") } };
    instance.enqueue(airlockJob(21, ["env", "echo password-of-the-job"], { dockerAuthConfig: { auths } }));
    instance.enqueue(airlockJob(22, ["true"]));

    await instance.until(() => instance.bodies("markComplete").length === 2);

    const executorsOwn = { username: "executor", password: "of-the-executor" };
    expect(runtime.plans.map(({ registryAuth }) => registryAuth)).toEqual([
      {
        "registry.example.com": executorsOwn,
        "private.example.com": { username: "job", password: "password-of-the-job" },
      },
      { "registry.example.com": executorsOwn },
    ]);
    expect(instance.output(21, "step.docker.only")).toContain("SECRET_REMOVED\n");
    expect(JSON.stringify(instance.entries(21))).not.toMatch(/password-of-the-job|of-the-executor/);
  });

  it("tells steps where the administrator's certificate authorities are, unless they set that themselves", async () => {
    const file = join(dataDir, "..", "authorities.pem");
    await writeFile(file, rootCertificates[0] ?? "");
    await start({ EXECUTOR_STEP_CA_CERTIFICATES: "true", NODE_EXTRA_CA_CERTS: file });
    const step = { key: "only", image: "image", dir: ".", commands: ['echo "$SSL_CERT_FILE $CURL_CA_BUNDLE"'] };
    const dockerSteps = [{ ...step, env: ["CURL_CA_BUNDLE=/own"] }];
    instance.enqueue(airlockJob(23, [], { dockerSteps }));

    await instance.until(() => instance.bodies("markComplete").length === 1);

    expect(instance.output(23, "step.docker.only")).toBe("/airlock/ca-certificates.pem /own\n");
  });

  it("writes the job's files and refuses paths that leave the workspace", async () => {
    await start();
    const content = Buffer.from("hello\n").toString("base64");
    instance.enqueue(airlockJob(12, ["cat a/b.txt"], { files: { "a/b.txt": { content } } }));
    instance.enqueue(airlockJob(13, ["true"], { files: { "../evil": { content } } }));

    await instance.until(() => ended("markComplete")() && ended("markFailed")());

    expect(instance.output(12, "step.docker.only")).toBe("hello\n");
    expect(instance.bodies("markFailed")[0]).toMatchObject({ jobId: 13, reason: "checkout-invalid" });
  });
});

describe("a stopping executor", () => {
  it("lets running jobs end and takes no new ones", async () => {
    const executor = await start();
    instance.enqueue(airlockJob(1, ["sleep 1", "echo done"]));
    await instance.until(() => instance.entries(1).some(({ key }) => key === "step.docker.only"));
    executor.stop.drain("test");
    instance.enqueue(airlockJob(2, ["true"]));

    await executor.ended;

    expect(instance.bodies("markComplete")).toHaveLength(1);
    expect(instance.output(1, "step.docker.only")).toBe("done\n");
    expect(instance.jobs).toHaveLength(1);
    expect(instance.bodies("heartbeat").some(({ airlock }) => airlock?.draining)).toBe(true);
  });

  it("hands back a job that it received just as it began to drain", async () => {
    const executor = await start();
    await instance.until(() => instance.bodies("dequeue").length === 1);
    executor.stop.drain("test");
    instance.enqueue(airlockJob(3, ["true"]));

    await executor.ended;

    expect(instance.bodies("markErrored")).toEqual([
      expect.objectContaining({ jobId: 3, reason: "executor-shutdown" }),
    ]);
  });

  it("neither runs nor keeps a job whose hand-out was cut off in transit, and asks for the next one", async () => {
    const executor = await start();
    instance.cutHandOuts = 1;
    instance.enqueue(airlockJob(8, ["echo lost"]));
    await instance.until(() => instance.cutHandOuts === 0);
    instance.enqueue(airlockJob(9, ["echo next"]));

    await instance.until(() => instance.bodies("markComplete").length === 1);
    executor.stop.drain("test");
    await executor.ended;

    expect(instance.bodies("markComplete")[0]).toMatchObject({ jobId: 9 });
    expect(instance.entries(8)).toEqual([]);
    expect(instance.bodies("heartbeat").flatMap(({ jobIds }) => jobIds ?? [])).not.toContain(8);
  });

  it("ends at once when idle", async () => {
    const executor = await start();
    await instance.until(() => instance.bodies("dequeue").length === 1);
    const startedAt = performance.now();
    executor.stop.drain("test");

    await executor.ended;

    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it("hands running jobs back when it has to stop immediately, and leaves nothing behind", async () => {
    const runtime = new HostProcessRuntime({ dir: join(dataDir, "workspaces") });
    const executor = await start({}, runtime);
    instance.enqueue(airlockJob(4, ["sleep 60"]));
    await instance.until(() => instance.entries(4).some(({ key }) => key === "step.docker.only"));
    executor.stop.now("test");

    await executor.ended;

    expect(instance.bodies("markErrored")).toEqual([
      expect.objectContaining({ jobId: 4, reason: "executor-shutdown" }),
    ]);
    expect(runtime.liveSandboxes).toBe(0);
    const [owner = ""] = await readdir(join(dataDir, "workspaces"));
    expect(await readdir(join(dataDir, "workspaces", owner))).toEqual([".trash"]);
    expect(await readdir(join(dataDir, "workspaces", owner, ".trash"))).toEqual([]);
    expect(await readdir(join(dataDir, "trash"))).toEqual([]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(dataDir);
  });

  it("hands back jobs that run for longer than the drain timeout", async () => {
    const executor = await start({ EXECUTOR_DRAIN_TIMEOUT: "300ms" });
    instance.enqueue(airlockJob(5, ["sleep 60"]));
    await instance.until(() => instance.entries(5).some(({ key }) => key === "step.docker.only"));
    executor.stop.drain("test");

    await executor.ended;

    expect(instance.bodies("markErrored")).toEqual([
      expect.objectContaining({ jobId: 5, reason: "executor-shutdown" }),
    ]);
  });

  it("ends after the configured number of jobs", async () => {
    const executor = await start({ EXECUTOR_NUM_TOTAL_JOBS: "2", EXECUTOR_MAXIMUM_NUM_JOBS: "3" });
    for (const id of [1, 2, 3]) instance.enqueue(airlockJob(id, ["true"]));

    await executor.ended;

    expect(instance.bodies("markComplete")).toHaveLength(2);
  });

  it("ends with a clear error if the shared secret is wrong", async () => {
    await expect(
      startExecutor({ url: instance.url, dataDir, env: { EXECUTOR_FRONTEND_PASSWORD: "another-secret" } }).then(
        (e) => e.ended,
      ),
    ).rejects.toMatchObject({ hint: expect.stringContaining("Set EXECUTOR_FRONTEND_PASSWORD") });
  });

  it("refuses a data directory that another executor uses", async () => {
    await start();

    await expect(startExecutor({ url: instance.url, dataDir })).rejects.toMatchObject({
      code: "data-directory-in-use",
    });
  });

  it("keeps workspaces if it is configured to", async () => {
    const executor = await start({ EXECUTOR_KEEP_WORKSPACES: "true" });
    instance.enqueue(airlockJob(6, ["echo kept > file"]));
    await instance.until(ended("markComplete"));
    executor.stop.drain("test");
    await executor.ended;

    const [owner = ""] = await readdir(join(dataDir, "workspaces"));
    const [name = ""] = await readdir(join(dataDir, "workspaces", owner));
    expect(existsSync(join(dataDir, "workspaces", owner, name, "data", "file"))).toBe(true);
  });
});

const airlockDefaults = {
  attempt: 1,
  leaseMs: 10_000,
  heartbeatIntervalMs: 200,
  timeoutMs: null,
  resources: {},
  egress: "none" as const,
  capabilities: ["attempts", "log-batch", "log-notes", "events", "results"],
  shell: "strict" as const,
};
