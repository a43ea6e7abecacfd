import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageRequest } from "@airlock/api";
import type { Runtime } from "@airlock/runtime";
import { createDockerRuntime } from "@airlock/runtime/docker";
import { createOciRuntime } from "@airlock/runtime/oci";
import { describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ScriptedInstance, testSecret } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

let instance: ScriptedInstance;
let dir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(async () => {
  await stack.disposeAsync();
});

function itRunsRealJobs(createRuntime: (stateDir: string) => Promise<Runtime>): void {
  const start = async () => {
    const runtime = await createRuntime(join(dir, "runtime"));
    const env = { EXECUTOR_RUNTIME: runtime.name, ...(runtime.name === "docker" ? { DOCKER_HOST: dockerHost() } : {}) };
    return stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime, env }));
  };
  const step = (key: string, ...commands: string[]) => ({ key, image: "host", commands, dir: "", env: [] });

  it("run steps that share a checkout and work in it with git", async () => {
    const { commits } = await makeRepository(join(dir, "served", "team/app"), [
      { message: "one", files: [{ path: "a.txt", content: "one\n" }] },
      { message: "two", files: [{ path: "a.txt", content: "two\n" }] },
    ]);
    await start();
    for (const [index, commit] of commits.entries()) {
      const dockerSteps = [
        step("first", "cat a.txt", "git status --porcelain", "echo more >> a.txt"),
        step("second", "git diff --stat | cat", 'git -c user.name=x -c user.email=x@x commit -qam "by a step"'),
      ];
      instance.enqueue(
        airlockJob(index + 1, [], { repositoryName: "team/app", commit, shallowClone: true, dockerSteps }),
      );
    }

    await instance.until(() => instance.requests.filter(({ path }) => path.includes("/mark")).length === 2);

    expect(instance.bodies("markComplete")).toHaveLength(2);
    expect(instance.output(1, "step.docker.first")).toBe("one\n");
    expect(instance.output(2, "step.docker.first")).toBe("two\n");
    expect(instance.output(2, "step.docker.second")).toContain("1 file changed");
  });

  it("keep the line numbers of scripts, and run them with the interpreter of their first line", async () => {
    await start();
    const dockerSteps = [
      step("awk", "#!/usr/bin/awk -f", 'BEGIN { print "awk", ENVIRON["HOME"] != "" }'),
      step("bash", "#!/usr/bin/env bash", "echo $LINENO", "words=(one two)", "echo $words"),
      step("sh", "echo one", "nosuchcommand", "echo two"),
    ];
    instance.enqueue(airlockJob(1, [], { dockerSteps }));
    await instance.until(() => instance.bodies("markFailed").length > 0);

    expect(instance.output(1, "step.docker.awk")).toMatch(/^awk [01]\n$/);
    expect(instance.output(1, "step.docker.bash")).toBe("2\none\n");
    const lines = instance.output(1, "step.docker.sh").split("\n");
    expect(lines).toContain("one");
    expect(lines).toContainEqual(expect.stringMatching(/2\.sh: (?:line )?2: .*nosuchcommand.*not found$/));
  });

  it("hide the job's token, the shared secret and the executor from their steps", async () => {
    const commit = (
      await makeRepository(join(dir, "served", "app"), [{ message: "one", files: [{ path: "a", content: "" }] }])
    ).head;
    await start();
    const token = "0123456789abcdef0123456789abcdef01234567";
    // Search for two halves: the script itself must not contain the secret, and the log would redact it.
    const script = [
      `half1=${token.slice(0, 20)}; half2=${token.slice(20)}`,
      `secret=${testSecret.slice(0, 10)}; rest=${testSecret.slice(10)}`,
      'if grep -rqs "$half1$half2" /data /proc/*/environ; then echo token; fi',
      'if grep -rqs "$secret$rest" /data /airlock /proc/*/environ; then echo secret; fi',
      "ls /airlock; touch /airlock/0.sh 2>/dev/null && echo writable",
      "echo over",
    ];
    instance.enqueue(
      airlockJob(1, [], { repositoryName: "app", commit, token, dockerSteps: [step("look", ...script)] }),
    );

    await instance.until(() => instance.requests.some(({ path }) => path.includes("/mark")));

    expect(instance.output(1, "step.docker.look")).toBe("0.sh\nover\n");
  });

  it("give a secret to one step as a read-only file, and to no other step", async () => {
    await start();
    const value = "-----BEGIN-----\n0123456789abcdef\n";
    const look = ["ls /airlock", 'grep -rqs "0123456789""abcdef" /airlock /data /tmp /run && echo found', "echo over"];
    const use = [
      'sha256sum < "$KEY_FILE"',
      'cat "$KEY_FILE"',
      '(echo x >> "$KEY_FILE") 2>/dev/null && echo changed',
      'rm -f "$KEY_FILE" 2>/dev/null && echo removed',
      '(ls /airlock/secrets > /dev/null) 2>/dev/null; test -e "$KEY_FILE" && echo there',
    ];
    const dockerSteps = [step("before", ...look), step("use", ...use), step("after", ...look)];
    const base = airlockJob(1, [], { dockerSteps, redactedValues: { [value]: "HIDDEN" } });
    const secretFiles = [{ step: 1, name: "KEY", value }];
    instance.enqueue({ ...base, ...(base.airlock ? { airlock: { ...base.airlock, secretFiles } } : {}) });

    await instance.until(() => instance.requests.some(({ path }) => path.includes("/mark")));

    expect(instance.bodies("markComplete")).toHaveLength(1);
    // Each step sees only its own script.
    expect(instance.output(1, "step.docker.before")).toBe("0.sh\nover\n");
    expect(instance.output(1, "step.docker.after")).toBe("2.sh\nover\n");
    const hash = createHash("sha256").update(value).digest("hex");
    expect(instance.output(1, "step.docker.use")).toBe(`${hash}  -\nHIDDENthere\n`);
  });

  it("stop all processes when they are canceled, and leave no mount", async () => {
    const executor = await start();
    instance.enqueue(airlockJob(1, [], { dockerSteps: [step("long", "echo started", "sleep 300")] }));
    await instance.until(() => instance.output(1, "step.docker.long").includes("started"));
    instance.canceled.add(1);

    await instance.until(() => instance.bodies("markFailed").length === 1);
    executor.stop.drain("test");
    await executor.ended;

    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(join(dir, "executor"));
  });

  it("report what a step used over time, but not of one that is too short to tell", async () => {
    await start();
    const script = "sleep 1; dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 1";
    const job = airlockJob(1, [], { dockerSteps: [step("quick", "true"), step("hungry", script)] });
    const resources = { memory: "128Mi", cpus: 1 };
    instance.enqueue({ ...job, airlock: { ...job.airlock, resources } } as typeof job);

    await instance.until(() => instance.bodies("markFailed").length === 1);

    const reports = instance.bodies("usage").map((body) => UsageRequest.parse(body).usage);
    expect(new Set(reports.map((usage) => usage.step))).toEqual(new Set([1]));
    const last = reports.at(-1);
    expect(last).toMatchObject({
      limits: { cpus: 1, memoryBytes: 128 * 2 ** 20 },
      cpuMs: expect.any(Array),
      memoryBytes: expect.any(Array),
      receivedBytes: expect.any(Array),
    });
    expect(last?.durationMs).toBeGreaterThanOrEqual(1000);
  });

  it("report the exit code of a step", async () => {
    await start();
    instance.enqueue(airlockJob(1, [], { dockerSteps: [step("x", "exit 3")] }));

    await instance.until(() => instance.bodies("markFailed").length === 1);

    expect(instance.bodies("markFailed")[0]).toMatchObject({ exitCode: 3, reason: "step-failed" });
  });
}

function dockerHost(): string {
  return `unix://${engines().docker?.socketPath}`;
}

describeWithEngines(["oci"], "jobs on the oci runtime", () => {
  itRunsRealJobs((stateDir) =>
    createOciRuntime({ stateDir, allowHostImage: true, runtimePath: engines().oci?.runtimePath ?? "" }),
  );
});

describeWithEngines(["docker"], "jobs on the docker runtime", () => {
  itRunsRealJobs(async (stateDir) =>
    createDockerRuntime({
      host: dockerHost(),
      allowHostImage: true,
      workspaces: { dir: join(stateDir, "workspaces") },
    }),
  );
});
