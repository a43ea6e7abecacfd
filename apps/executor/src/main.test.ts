import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  asUser,
  compileCacheEnvironment,
  describeWithEngines,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance, testSecret } from "./testing/scripted-instance.ts";
import { airlockJob, foreignJob } from "./testing/start-executor.ts";
import { workspacesIn } from "./testing/workspaces-in.ts";

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

const main = join(import.meta.dirname, "main.ts");

/** Runs the program as an administrator does. */
function execute(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return start([process.execPath, main, ...args], env);
}

/** Runs the program as another user. */
async function executeAs(user: number, args: readonly string[], env: Readonly<Record<string, string>>) {
  return start(await asUser(user, dir, [process.execPath, main, ...args]), env);
}

/** Mount namespaces in which cgroups can't be written, and what the executor says about them. */
const withoutCgroups = {
  "cgroups that are read-only": {
    script:
      "for place in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/self/mounts); do mount -o remount,bind,ro \"$place\" || exit 9; done",
    cause: /because \/sys\/fs\/cgroup\S* is mounted read-only/,
  },
  "another /sys, as under `ip netns exec`": {
    script: "umount -l /sys && mount -t sysfs sysfs /sys || exit 9",
    cause: /because no cgroup file system is mounted\..*`ip netns exec` hides them/,
  },
} as const;

function executeWithoutCgroups(
  place: keyof typeof withoutCgroups,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
) {
  const script = `${withoutCgroups[place].script}; exec "$@"`;
  return start(["unshare", "--mount", "sh", "-c", script, "sh", process.execPath, main, ...args], env);
}

function start([program = "", ...args]: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH ?? "",
      ...compileCacheEnvironment(),
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: testSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_DATA_DIR: join(dir, "executor"),
      EXECUTOR_ALLOW_HOST_IMAGE: "true",
      ...env,
    },
  });
  stack.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
  }
  const exit = once(child, "close").then(() => ({ exitCode: child.exitCode, output }));
  return { child, exit, output: () => output };
}

describe("the executor command", () => {
  it("prints its version and its usage, and refuses unknown arguments", async () => {
    const [version, help, unknown] = await Promise.all(
      ["version", "help", "fly"].map((command) => execute([command]).exit),
    );

    expect(version).toMatchObject({ exitCode: 0, output: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect(help).toMatchObject({ exitCode: 0, output: expect.stringContaining("Usage: executor") });
    expect(unknown).toMatchObject({ exitCode: 2, output: expect.stringContaining("unknown command 'fly'") });
  });

  it("lists every variable that it reads, with its default", async () => {
    const [text, markdown] = await Promise.all(
      [[], ["--markdown"]].map((flags) => execute(["help", "variables", ...flags]).exit),
    );

    expect(text).toMatchObject({ exitCode: 0, output: expect.stringContaining("EXECUTOR_JOB_MEMORY [12G]") });
    for (const name of [
      "EXECUTOR_FRONTEND_URL",
      "DOCKER_HOST",
      "NODE_EXTRA_CA_CERTS",
      "XDG_STATE_HOME",
      "SRC_LOG_LEVEL",
    ])
      expect(markdown?.output).toContain(`| \`${name}\` |`);
  });

  it("reports what it does not need to install, and refuses what it can't install", async () => {
    const [notNeeded, refused] = await Promise.all(
      ["src-cli", "ignite"].map((target) => execute(["install", target]).exit),
    );

    expect(notNeeded).toMatchObject({ exitCode: 0, output: expect.stringContaining("not needed") });
    expect(refused).toMatchObject({ exitCode: 1, output: expect.stringContaining("executor install microvm") });
  });

  it("needs no settings of the instance for images and test machines", async () => {
    const none = { EXECUTOR_FRONTEND_URL: "", EXECUTOR_FRONTEND_PASSWORD: "", EXECUTOR_QUEUE_NAME: "" };
    const load = ["image", "load", join(dir, "missing.tar")];
    const [list, end, image, certificates] = await Promise.all([
      execute(["test-vm", "list"], none).exit,
      execute(["test-vm", "end", "x"], none).exit,
      execute(load, { ...none, EXECUTOR_RUNTIME: "oci" }).exit,
      execute(load, { ...none, EXECUTOR_RUNTIME: "oci", EXECUTOR_REGISTRY_CERTS_DIR: join(dir, "none") }).exit,
    ]);

    expect(list).toEqual({ exitCode: 0, output: "" });
    expect(end).toMatchObject({ exitCode: 1, output: expect.stringContaining('there is no test machine "x"') });
    expect(image).toMatchObject({ exitCode: 1, output: expect.stringContaining("missing.tar") });
    expect(image.output).not.toContain("EXECUTOR_");
    expect(certificates).toMatchObject({
      exitCode: 1,
      output: expect.stringMatching(/EXECUTOR_REGISTRY_CERTS_DIR can't be used: .*none/),
    });
  });

  it("lists the problems of its configuration and exits with 1", async () => {
    const { exitCode, output } = await execute(["run"], {
      EXECUTOR_FRONTEND_URL: "nowhere",
      EXECUTOR_JOB_MEMORY: "lots",
    }).exit;

    expect(exitCode).toBe(1);
    expect(output).toContain("EXECUTOR_FRONTEND_URL");
    expect(output).toContain("EXECUTOR_JOB_MEMORY");
    expect(output).not.toContain("    at ");
  });
});

describeWithEngines(["oci"], "the executor command with a runtime", () => {
  const oci = { EXECUTOR_RUNTIME: "oci" };
  const longJob = (id: number) =>
    airlockJob(id, [], {
      dockerSteps: [{ key: "long", image: "host", commands: ["echo started", "sleep 300"], dir: "", env: [] }],
    });
  const started = (id: number) => () => instance.output(id, "step.docker.long").includes("started");

  it("validates, and names each failure with a way to fix it", async () => {
    const good = await execute(["validate"], oci).exit;
    const bad = await execute(["validate"], { ...oci, EXECUTOR_FRONTEND_PASSWORD: "another-secret" }).exit;

    expect(good).toMatchObject({ exitCode: 0, output: expect.stringContaining("All checks passed!") });
    expect(bad).toMatchObject({
      exitCode: 1,
      output: expect.stringContaining("Set EXECUTOR_FRONTEND_PASSWORD"),
    });
  });

  it("runs without root: validate reports what is missing, and jobs have no network and are told so", async () => {
    const nobody = 65_534;
    const dataDir = join(dir, "nobody");
    await mkdir(dataDir);
    await chown(dataDir, nobody, nobody);
    await chmod(dir, 0o711);
    const strict = { EXECUTOR_RUNTIME: "oci", EXECUTOR_DATA_DIR: dataDir, HOME: dataDir, SRC_LOG_FORMAT: "json" };
    const unprivileged = { ...strict, EXECUTOR_UNENFORCED_LIMITS: "none" };

    const refused = await (await executeAs(nobody, ["validate"], strict)).exit;
    expect(refused).toMatchObject({ exitCode: 1, output: expect.stringContaining("not writable for this user") });

    const validated = await (await executeAs(nobody, ["validate"], unprivileged)).exit;
    expect(validated).toMatchObject({ exitCode: 0, output: expect.stringContaining("All checks passed!") });
    expect(validated.output).toMatch(/^note {2}runtime: Jobs run without limits for cpu, memory, pids/m);
    expect(validated.output).toMatch(
      /^note {2}runtime: Jobs have no network on this machine.*run the executor as root\.$/m,
    );

    const executor = await executeAs(nobody, ["run"], unprivileged);
    const dockerSteps = [{ key: "look", image: "host", commands: ["ls /sys/class/net"], dir: "", env: [] }];
    const asking = airlockJob(2, [], { dockerSteps });
    instance.enqueue(foreignJob(1, [], { dockerSteps }));
    instance.enqueue({ ...asking, ...(asking.airlock ? { airlock: { ...asking.airlock, egress: "public" } } : {}) });
    await instance.until(() => instance.requests.filter(({ path }) => path.includes("/mark")).length === 2);
    executor.child.kill("SIGTERM");
    await executor.exit;

    expect(instance.output(1, "step.docker.look")).toMatch(/^stdout: lo$/m);
    expect(instance.output(1, "step.docker.look")).not.toMatch(/^stdout: eth/m);
    expect(instance.output(1, "setup.network")).toContain(
      'network: none, because this executor cannot enforce the policy "public". Egress policies other than none need root',
    );
    expect(instance.bodies("markFailed")).toEqual([
      expect.objectContaining({ jobId: 2, reason: "policy", errorMessage: expect.stringContaining("as root") }),
    ]);
    expect(executor.output()).toContain("egress policies can't be enforced");
  });

  it.each(Object.keys(withoutCgroups) as (keyof typeof withoutCgroups)[])(
    "does not start with %s, unless the administrator lets jobs run without limits",
    async (place) => {
      const { cause } = withoutCgroups[place];
      const permissive = { ...oci, EXECUTOR_UNENFORCED_LIMITS: "none", EXECUTOR_DEFAULT_EGRESS: "none" };

      const [refused, invalid, valid] = await Promise.all([
        executeWithoutCgroups(place, ["run"], { ...oci, EXECUTOR_DATA_DIR: join(dir, "refused") }).exit,
        executeWithoutCgroups(place, ["validate"], { ...oci, EXECUTOR_DATA_DIR: join(dir, "invalid") }).exit,
        executeWithoutCgroups(place, ["validate"], { ...permissive, EXECUTOR_DATA_DIR: join(dir, "valid") }).exit,
      ]);
      expect(refused).toMatchObject({ exitCode: 1, output: expect.stringMatching(cause) });
      expect(refused.output).toContain("limits for cpu, memory, pids can't be enforced here");
      expect(refused.output).toContain("With EXECUTOR_UNENFORCED_LIMITS=none, jobs run without them.");
      expect(refused.output).not.toContain("    at ");
      expect(invalid).toMatchObject({ exitCode: 1, output: expect.stringMatching(cause) });
      expect(invalid.output).toMatch(/^FAIL {2}runtime: limits for cpu, memory, pids can't be enforced here$/m);
      expect(valid).toMatchObject({ exitCode: 0, output: expect.stringMatching(cause) });
      expect(valid.output).toMatch(/^note {2}runtime: Jobs run without limits for cpu, memory, pids/m);
      expect(instance.bodies("dequeue")).toEqual([]);

      const executor = executeWithoutCgroups(place, ["run"], { ...permissive, SRC_LOG_FORMAT: "json" });
      const dockerSteps = [{ key: "say", image: "host", commands: ["echo ran"], dir: "", env: [] }];
      instance.enqueue(airlockJob(1, [], { dockerSteps }));
      await instance.until(() => instance.bodies("markComplete").length === 1);
      executor.child.kill("SIGTERM");
      await executor.exit;

      expect(instance.output(1, "step.docker.say")).toBe("ran\n");
      const said = executor
        .output()
        .split("\n")
        .filter((line) => line.includes("EXECUTOR_UNENFORCED_LIMITS=none"));
      expect(said.map((line) => JSON.parse(line))).toEqual([
        expect.objectContaining({ msg: "limits can't be enforced", hint: expect.stringMatching(cause) }),
      ]);
    },
  );

  it("says what virtual machines lack here: root, or the guest's files", async () => {
    const nobody = 65_534;
    const dataDir = join(dir, "nobody");
    await mkdir(dataDir);
    await chown(dataDir, nobody, nobody);
    await chmod(dir, 0o711);
    const microvm = { EXECUTOR_RUNTIME: "microvm", EXECUTOR_QEMU: "/bin/true" };

    const asNobody = await (await executeAs(nobody, ["run"], { ...microvm, EXECUTOR_DATA_DIR: dataDir })).exit;
    const asRoot = await execute(["run"], microvm).exit;

    expect(asNobody).toMatchObject({ exitCode: 1, output: expect.stringContaining("microvm needs root") });
    expect(asNobody.output).toContain("EXECUTOR_RUNTIME=docker or oci");
    expect(asRoot).toMatchObject({ exitCode: 1, output: expect.stringContaining("has no files for the guests") });
    expect(asRoot.output).toContain("executor install microvm");
  });

  it("warns about an unsafe git or refuses to start, as the administrator configures", async () => {
    const bin = join(dir, "bin");
    await mkdir(bin);
    await writeFile(join(bin, "git"), "#!/bin/sh\necho git version 2.43.6\n", { mode: 0o755 });
    const unsafe = { ...oci, PATH: `${bin}:${process.env.PATH}` };
    const warned = execute(["run"], unsafe);
    await instance.until(() => warned.output().includes("ready for jobs"));
    warned.child.kill("SIGTERM");
    await warned.exit;
    const refused = await execute(["run"], { ...unsafe, EXECUTOR_MINIMUM_VERSIONS: "refuse" }).exit;

    expect(warned.output()).toContain("CVE-2025-48384");
    expect(refused).toMatchObject({ exitCode: 1, output: expect.stringContaining("CVE-2025-48384") });
  });

  it("drains on the first signal and hands its job back on the second", async () => {
    const executor = execute(["run"], oci);
    instance.enqueue(longJob(1));
    await instance.until(started(1));
    executor.child.kill("SIGTERM");
    await instance.until(() => instance.bodies("heartbeat").some(({ airlock }) => airlock?.draining));
    expect(instance.bodies("markErrored")).toEqual([]);
    executor.child.kill("SIGINT");

    expect(await executor.exit).toMatchObject({ exitCode: 0 });

    expect(instance.bodies("markErrored")).toEqual([
      expect.objectContaining({ jobId: 1, reason: "executor-shutdown" }),
    ]);
  });

  it("hands its job back on the first signal if it is configured not to wait", async () => {
    const executor = execute(["run"], { ...oci, EXECUTOR_DRAIN_TIMEOUT: "0" });
    instance.enqueue(longJob(1));
    await instance.until(started(1));
    executor.child.kill("SIGINT");

    expect(await executor.exit).toMatchObject({ exitCode: 0 });

    expect(instance.bodies("markErrored")).toHaveLength(1);
  });

  it("removes what a killed predecessor left, and hands its job back at once", async () => {
    const executor = execute(["run"], oci);
    const files = [{ path: "a", content: "a" }];
    const { head } = await makeRepository(join(dir, "served", "app"), [{ message: "one", files }]);
    // With a checkout the workspace is a mount, if overlays work.
    instance.enqueue({ ...longJob(1), repositoryName: "app", commit: head, shallowClone: true });
    await instance.until(started(1));
    executor.child.kill("SIGKILL");
    await executor.exit;
    expect(await workspacesIn(join(dir, "executor"))).toHaveLength(1);
    expect((await stat(join(dir, "executor", "held-jobs", "default-1-1.json"))).mode & 0o777).toBe(0o600);

    const next = execute(["run"], oci);
    await instance.until(() => instance.bodies("markErrored").length === 1);
    next.child.kill("SIGTERM");
    await next.exit;

    const [giveUp] = instance.requests.filter(({ path }) => path.endsWith("/markErrored"));
    const taker = instance.bodies("dequeue")[0]?.executorName;
    // Reported under the killed executor's name, with the job's own token.
    expect(giveUp?.body).toMatchObject({ executorName: taker, jobId: 1, attempt: 1, reason: "lease-lost" });
    expect(giveUp?.headers).toMatchObject({
      authorization: `Bearer ${longJob(1).token}`,
      "x-sourcegraph-executor-name": taker,
    });
    expect(await readdir(join(dir, "executor", "held-jobs"))).toEqual([]);
    expect(await workspacesIn(join(dir, "executor"))).toEqual([]);
    expect(await readdir(join(dir, "executor", "trash"))).toEqual([]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(dir);
  });

  it("reports its health to an orchestrator, and counts jobs", async () => {
    const executor = execute(["run"], { ...oci, EXECUTOR_HEALTH_SERVER_ADDR: "127.0.0.1:0", SRC_LOG_FORMAT: "json" });
    await instance.until(() => executor.output().includes("health server"));
    const port = /"port":(\d+)/.exec(executor.output())?.[1];
    instance.enqueue(
      airlockJob(1, [], { dockerSteps: [{ key: "x", image: "host", commands: ["true"], dir: "", env: [] }] }),
    );
    await instance.until(() => instance.bodies("markComplete").length === 1);

    const health = await fetch(`http://127.0.0.1:${port}/healthz`);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();

    expect(health.status).toBe(200);
    expect(metrics).toContain('src_executor_processor_total{queue="default"} 1');
    for (const line of [
      'src_apiworker_command_total{op="exec"} 1',
      'src_apiworker_command_errors_total{op="exec"} 0',
      'src_apiworker_command_duration_seconds_count{op="teardown.fs"} 1',
      'src_apiworker_apiclient_queue_total{op="MarkComplete"} 1',
      'src_apiworker_apiclient_queue_errors_total{op="Dequeue"} 0',
      'src_apiworker_apiclient_queue_duration_seconds_count{op="Heartbeat"}',
    ]) {
      expect(metrics).toContain(line);
    }
    const families = [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(families).toEqual([...new Set(families)]);
  });
});
