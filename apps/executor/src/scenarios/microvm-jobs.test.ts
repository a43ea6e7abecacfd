import { execFile } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { JobPayloadWire } from "@airlock/api";
import { outputOf } from "@airlock/process";
import { buildGuestFiles, type MicrovmRuntime, openMicrovmRuntime } from "@airlock/runtime/microvm";
import {
  busyboxImage,
  describeWithEngines,
  dockerArchive,
  engines,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { microvmOptions } from "../cli/create-runtime.ts";
import { install, installPath } from "../cli/install/install.ts";
import { guestDir, runtimeDir } from "../cli/runtime-dir.ts";
import { checkVirtualMachine } from "../cli/validate/check-virtual-machine.ts";
import { runChecks } from "../cli/validate/run-checks.ts";
import { parseConfig } from "../config/config.ts";
import type { Config } from "../config/options.ts";
import { ScriptedInstance, testSecret } from "../testing/scripted-instance.ts";
import { airlockJob, type StartedExecutor, startExecutor } from "../testing/start-executor.ts";

/** Kept across runs, because the guest's kernel has to be downloaded. */
const guestCache = fileURLToPath(new URL("../../../../node_modules/.cache/airlock-guest/", import.meta.url));
const run = promisify(execFile);
const image = "fixtures/shell:1";
const machineMs = 240_000;
const oldKernel = `vmlinux-${"0".repeat(16)}`;
/** Changes a setting of the guest's kernel and the workspace, and fails if the job asks for it. */
const startupScript = `
sysctl -w vm.max_map_count=262145
echo "prepared $(cat a.txt)" > prepared
test ! -e fail || { echo "no licence for this machine" >&2; exit 4; }
`;

describeWithEngines(["microvm"], "jobs in virtual machines", () => {
  let stack: AsyncDisposableStack;
  let instance: ScriptedInstance;
  let dir: string;
  let commit: string;
  let config: Config;
  let executor: StartedExecutor;
  const installed: string[] = [];
  let nextJob = 1;
  let job: number;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory("vm-")).path;
    await buildGuestFiles({ directory: guestCache, signal: AbortSignal.timeout(machineMs) });
    instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
    const files = [{ path: "a.txt", content: "from the checkout\n" }];
    commit = (await makeRepository(join(dir, "served", "app"), [{ message: "one", files }])).head;
    const dataDir = join(dir, "executor");
    const env = {
      EXECUTOR_USE_FIRECRACKER: "true",
      EXECUTOR_VM_ACCELERATOR: "tcg",
      EXECUTOR_QEMU: engines().microvm?.qemuPath ?? "",
      EXECUTOR_MAXIMUM_NUM_JOBS: "2",
      EXECUTOR_VM_PREFIX: "build-a",
      EXECUTOR_VM_STARTUP_SCRIPT_PATH: join(dir, "startup.sh"),
      EXECUTOR_KEEP_WORKSPACES: "true",
      EXECUTOR_STEP_CA_CERTIFICATES: "true",
      NODE_EXTRA_CA_CERTS: join(dir, "authority.pem"),
      // Jobs that ask for nothing get a machine like the small ones of this file.
      EXECUTOR_JOB_NUM_CPUS: "1",
      EXECUTOR_JOB_MEMORY: "64Mi",
      EXECUTOR_JOB_DISK: "64Mi",
      EXECUTOR_DEFAULT_EGRESS: "none",
      EXECUTOR_HEALTH_SERVER_ADDR: "127.0.0.1:0",
    };
    await writeFile(join(dir, "startup.sh"), startupScript);
    await writeFile(join(dir, "authority.pem"), rootCertificates[0] ?? "");
    config = parseConfig({
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: testSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_DATA_DIR: dataDir,
      ...env,
    });
    await mkdir(guestDir(dataDir), { recursive: true });
    await writeFile(join(guestDir(dataDir), oldKernel), "");
    await install({
      target: "microvm",
      guest: { from: guestCache },
      guestDir: guestDir(dataDir),
      path: installPath(process.env.PATH),
      proxyEnvironment: {},
      isRoot: true,
      osRelease: "ID=debian",
      print: (line) => void installed.push(line),
    });
    const runtime = await open();
    const archive = join(dir, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    await runtime.loadImages(archive, { signal: AbortSignal.timeout(machineMs) });
    executor = stack.use(await startExecutor({ url: instance.url, dataDir, runtime, env }));
    await untilReady();
  }, 2 * machineMs);

  beforeEach(() => {
    job = nextJob;
    nextJob += 1;
  });

  afterAll(async () => {
    await stack?.disposeAsync();
  });

  const open = async (choice: "boot" | "installed" = "installed"): Promise<MicrovmRuntime> =>
    await openMicrovmRuntime({ ...(await microvmOptions(config, runtimeDir(config))), choice });
  const step = (key: string, ...commands: readonly string[]) => ({
    key,
    image,
    commands: [...commands],
    dir: "",
    env: [],
  });
  const small = { cpus: 1, memory: "64Mi", pids: 64, disk: "64Mi" };
  const output = (key: string) => instance.output(job, `step.docker.${key}`);
  /** Name of the machine that the job's log gives, at the latest when its first step runs. */
  const machineOfJob = async (): Promise<string> => {
    const machine = () => /a disk of its own \(([a-z0-9-]+)\)/.exec(instance.output(job, "setup.fs.extras"))?.[1];
    await instance.until(() => machine() !== undefined);
    return machine() ?? "";
  };
  const marks = () => instance.requests.filter(({ path, body }) => path.includes("/mark") && body.jobId === job);

  const metrics = async (): Promise<string> => {
    const port = /"port":(\d+)/.exec(executor.logLines.join("\n"))?.[1];
    return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  };
  /** Waits until a machine waits for a job. */
  const untilReady = async (): Promise<void> => {
    const ready = 'airlock_executor_vm_pool_ready{queue="default"} 1\n';
    await vi.waitFor(async () => expect(await metrics()).toContain(ready), { timeout: machineMs, interval: 100 });
  };

  /** Runs the steps in a small machine, at the repository's commit. */
  function submit(...dockerSteps: ReturnType<typeof step>[]): void {
    submitWith({}, ...dockerSteps);
  }

  function submitWith(files: JobPayloadWire["files"], ...dockerSteps: ReturnType<typeof step>[]): void {
    const base = airlockJob(job, [], { repositoryName: "app", commit, shallowClone: true, dockerSteps, files });
    instance.enqueue({ ...base, ...(base.airlock ? { airlock: { ...base.airlock, resources: small } } : {}) });
  }

  it(
    "boot in validate with the files that install copied",
    async () => {
      expect(installed.join("\n")).toMatch(/^already installed: qemu-system-x86.*\nmade: .*\n {2}kernel .*SHA-256/);
      expect(installed).toContain(`removed: ${oldKernel} of an earlier installation`);
      const lines: string[] = [];
      const { signal } = new AbortController();
      const runtime = await open("boot");
      await runChecks([checkVirtualMachine(async () => runtime)], { print: (line) => void lines.push(line), signal });
      await runtime.close();
      expect(lines).toContainEqual(
        expect.stringMatching(/^ok {4}virtual machine: qemu .*accelerator tcg: booted .* in [\d.]+ s/),
      );
    },
    machineMs,
  );

  it(
    "deliver their log while a step runs, and end when they are canceled",
    async () => {
      // Jobs with the image host go to executors that have it.
      expect(instance.bodies("dequeue")[0]?.airlock?.capabilities).toContain("container-images-only");
      submit(step("first", "cat a.txt", "sleep 600"), step("second", "cat b.txt"));
      await instance.until(() => output("first").includes("from the checkout\n"));
      expect(marks()).toEqual([]);
      const machine = await machineOfJob();
      expect(machine).toMatch(/^build-a-(job-\d+-1-[0-9a-f]{8}|ready-[0-9a-f]{12})$/);
      expect(await outputOf(["ps", "-eo", "args"])).toContain(`qemu-system-x86_64 -name guest=${machine} `);
      instance.canceled.add(job);
      await instance.until(() => marks().length === 1);
      expect(marks()[0]?.path).toContain("markFailed");
      expect(output("second")).toBe("");
    },
    machineMs,
  );

  it(
    "pass files from step to step, and end with the exit code of the step that failed",
    async () => {
      submit(
        step("first", "echo made > b.txt; uname -r"),
        step("second", "cat b.txt; exit 3"),
        step("third", "echo no"),
      );
      await instance.until(() => marks().length === 1);
      expect(marks()[0]?.body).toMatchObject({ exitCode: 3, reason: "step-failed" });
      // A kernel of its own, not this machine's.
      expect(output("first")).toMatch(/-cloud-amd64\n$/);
      expect([output("second"), output("third")]).toEqual(["made\n", ""]);
    },
    machineMs,
  );

  it(
    "find what the administrator's script prepared, and the administrator's certificate authorities",
    async () => {
      const authorities = 'cat "$NODE_EXTRA_CA_CERTS"; grep -c BEGIN "$SSL_CERT_FILE"';
      submit(step("first", "cat prepared /proc/sys/vm/max_map_count", authorities));
      await instance.until(() => marks().length === 1);
      expect(marks()[0]?.path).toContain("markComplete");
      expect(instance.output(job, "setup.startup-script")).toContain("vm.max_map_count = 262145\n");
      const [prepared, setting, ...certificates] = output("first").trim().split("\n");
      expect([prepared, setting]).toEqual(["prepared from the checkout", "262145"]);
      expect(certificates.slice(0, -1).join("\n")).toBe(rootCertificates[0]?.trim());
      expect(Number(certificates.at(-1))).toBeGreaterThan(100);
    },
    machineMs,
  );

  it(
    "do not run when the administrator's script fails, and its output says why",
    async () => {
      submitWith({ fail: { content: Buffer.from("yes").toString("base64") } }, step("first", "echo ran"));
      await instance.until(() => marks().length === 1);
      expect(marks()[0]?.path).toContain("markErrored");
      expect(marks()[0]?.body.errorMessage).toMatch(/startup script exited with 4.*setup\.startup-script/);
      expect(instance.output(job, "setup.startup-script")).toContain("no licence for this machine\n");
      expect(output("first")).toBe("");
    },
    machineMs,
  );

  it(
    "are told that they ran out of memory, and that their disk is full",
    async () => {
      submit(
        step("disk", "dd if=/dev/zero of=big bs=1M count=100 || rm big"),
        step("memory", "dd if=/dev/zero of=/dev/null bs=90M count=1", "echo survived"),
      );
      await instance.until(() => marks().length === 1);
      expect(marks()[0]?.body).toMatchObject({ reason: "out-of-memory" });
      expect(output("disk")).toContain("No space left on device");
      expect(output("memory")).not.toContain("survived");
    },
    machineMs,
  );

  it(
    "are errored, so that they are retried, when their machine is killed from outside",
    async () => {
      submit(step("only", "echo started; sleep 600"));
      await instance.until(() => output("only").includes("started\n"));
      const { stdout } = await run("pgrep", ["-f", `^[^ ]*qemu-system.* guest=${await machineOfJob()} `]);
      process.kill(Number(stdout.trim()), "SIGKILL");
      await instance.until(() => marks().length === 1);
      expect(marks()[0]).toMatchObject({
        path: expect.stringContaining("markErrored"),
        body: { reason: "runtime", errorMessage: expect.stringContaining("QEMU was killed (SIGKILL)") },
      });
    },
    machineMs,
  );

  it(
    "find a machine that waits for them, which is not a running job",
    async () => {
      await untilReady();
      expect(await metrics()).toContain('src_executor_processor_handlers{queue="default"} 0\n');
      const hits = async () => Number(/vm_pool_jobs_total\{.*result="hit"\} (\d+)/.exec(await metrics())?.[1]);
      const before = await hits();
      submit(step("only", "cat a.txt"));
      await instance.until(() => marks().length === 1);
      expect([output("only"), await hits()]).toEqual(["from the checkout\n", before + 1]);
    },
    machineMs,
  );

  it("leave no machine when the executor has ended", async () => {
    executor.stop.drain("test");
    await executor.ended;
    const vms = join(runtimeDir(config), "microvm", "vms");
    const owners = await readdir(vms);
    const machines = await Promise.all(owners.map((owner) => readdir(join(vms, owner))));
    expect([owners.length > 0, machines.flat()]).toEqual([true, []]);
    // EXECUTOR_KEEP_WORKSPACES keeps what is in the workspaces.
    const kept = join(config.dataDir, "workspaces");
    const disks = await readdir(kept);
    expect(disks.filter((name) => /^job-\d+-1-[0-9a-f]{8}\.ext4$/.test(name))).toHaveLength(nextJob - 3);
    const made = await Promise.all(
      disks.map((name) => outputOf(["debugfs", "-R", "cat /data/b.txt", join(kept, name)])),
    );
    expect(made).toContain("made\n");
  });
});
