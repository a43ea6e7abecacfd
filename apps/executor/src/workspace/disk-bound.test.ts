import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unmountBelow } from "@airlock/runtime/host-disk";
import { makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Janitor } from "../janitor/janitor.ts";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { foreignJob, startExecutor } from "../testing/start-executor.ts";
import { WorkspaceBench } from "../testing/workspace-bench.ts";

const isRoot = process.getuid?.() === 0;
const mebibyte = 1024 * 1024;

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  stack.defer(async () => {
    await unmountBelow(dir, AbortSignal.timeout(20_000));
  });
});

afterEach(() => stack.disposeAsync());

const mounted = async () => (await readFile("/proc/self/mountinfo", "utf8")).includes(dir);

describe.runIf(isRoot)(isRoot ? "a job's disk" : "a job's disk [needs root]", () => {
  const bench = (more = {}) => WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: true, ...more });
  const somewhere = async () => ({
    repository: "app",
    commit: (await makeRepository(join(dir, "served/app"), [{ message: "1", files: [{ path: "a", content: "a" }] }]))
      .head,
  });

  it("also bounds what steps write outside the workspace, to a directory that steps can't see", async () => {
    const request = await somewhere();
    for (const overlays of [true, false]) {
      const executor = await bench({ dir: join(dir, `executor-${overlays}`), overlays });
      await using workspace = await executor.prepare(request, { diskBytes: 20 * mebibyte });
      const { layersDir } = workspace.workspace;
      if (layersDir === null) throw new Error("there is no directory for layers");

      expect((await stat(layersDir)).mode & 0o077).toBe(0);
      expect(await readdir(workspace.dir)).toEqual([".git", "a"]);
      execFileSync("dd", ["if=/dev/zero", `of=${layersDir}/big`, "bs=1M", "count=12"], { stdio: "ignore" });
      expect(() =>
        execFileSync("dd", ["if=/dev/zero", `of=${workspace.dir}/big`, "bs=1M", "count=12"], { stdio: "ignore" }),
      ).toThrow();
    }
  });

  it("holds a limited number of empty files, which use no files of the host's file system", async () => {
    const executor = await bench();
    await using workspace = await executor.prepare(await somewhere(), { diskBytes: 20 * mebibyte });
    const fill = () => {
      for (let i = 0; i < 20; i += 1) {
        mkdirSync(join(workspace.dir, `d${i}`));
        for (let j = 0; j < 1000; j += 1) writeFileSync(join(workspace.dir, `d${i}`, String(j)), "");
      }
    };

    using watch = workspace.workspace.disk?.watch();
    expect(fill).toThrow(/ENOSPC/);

    expect(readdirSync(workspace.dir).length).toBeLessThan(10);
    expect(await watch?.problem()).toMatch(/cannot hold more files: with 20 MiB its limit is \d+ files/);
  });

  it("is named in the step's log and in the job's failure if it is full, even if the step cleaned up", async () => {
    stack.use(
      await startExecutor({ url: instance.url, dataDir: join(dir, "data"), env: { EXECUTOR_JOB_DISK: "16Mi" } }),
    );
    instance.enqueue(foreignJob(1, ["dd if=/dev/zero of=big bs=1M count=100; sleep 0.5; rm big; exit 7"]));
    instance.enqueue(foreignJob(2, ["echo small > file; exit 7"]));

    await instance.until(() => instance.bodies("markFailed").length === 2);

    const sentence = "the job's disk is full: its limit is 16 MiB";
    expect(instance.output(1, "step.docker.only")).toContain(`[airlock] ${sentence}`);
    const [full, other] = instance.bodies("markFailed");
    expect(full?.errorMessage).toContain(`step "only" exited with 7: ${sentence}`);
    expect(other?.errorMessage).not.toContain("disk");
    expect(instance.output(1, "setup.fs.extras")).toContain("a file system of 16 MiB");
    await expect.poll(mounted, { timeout: 10_000 }).toBe(false);
  });

  it("is also a limit of the sandbox: the job's plan contains it", async () => {
    const runtime = new HostProcessRuntime();
    const env = { EXECUTOR_FIRECRACKER_DISK_SPACE: "32Mi" };
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "data"), runtime, env }));
    instance.enqueue(foreignJob(1, ["true"]));

    await instance.until(() => instance.bodies("markComplete").length === 1);

    expect(runtime.plans[0]).toMatchObject({
      limits: { diskBytes: 32 * mebibyte },
    });
  });

  it("refuses files of the job that do not fit, as the job's fault", async () => {
    const executor = await bench();
    const files = [{ path: "big", content: Buffer.alloc(30 * mebibyte), modifiedAt: undefined }];

    await expect(executor.prepare(await somewhere(), { diskBytes: 20 * mebibyte, files })).rejects.toMatchObject({
      reason: "checkout-invalid",
      hint: expect.stringContaining("resources.disk"),
    });
    expect(await mounted()).toBe(false);
  });

  it("is removed by the janitor if a crash left it mounted, and foreign directories are not", async () => {
    const executor = await bench();
    // Never disposed, as if this process had been killed.
    const made = await makeRepository(join(dir, "served/app"), [
      { message: "1", files: [{ path: "a", content: "1" }] },
      { message: "2", files: [{ path: "a", content: "2" }] },
    ]);
    for (const commit of made.commits) {
      const workspace = await executor.prepare({ repository: "app", commit }, { diskBytes: 20 * mebibyte });
      await writeFile(join(workspace.dir, "file"), "x");
    }
    const [jobsDir, workspacesDir] = [join(dir, "executor", "jobs"), join(dir, "executor", "workspaces")];
    mkdirSync(join(jobsDir, "not-ours"));
    const restarted = await bench();
    const runtime = new (class extends HostProcessRuntime {
      override async collect({ keep, signal }: Parameters<HostProcessRuntime["collect"]>[0]) {
        const details = await restarted.workspaces.collect("bench", keep, { signal });
        return { sandboxes: details.length, details };
      }
    })();
    stack.defer(() => runtime.close());
    const janitor = new Janitor({
      dataDir: join(dir, "executor"),
      owner: "executor-1",
      runtime,
      activeSandboxes: new Set(),
      jobsDir,
      jobDirectories: restarted.jobDirectories,
      trash: executor.trash,
      repositories: executor.repositories,
      intervalMs: 60_000,
      logger: pino({ level: "silent" }),
    });

    expect(await janitor.round(AbortSignal.timeout(20_000))).toBe(true);

    await executor.settled();
    await restarted.settled();
    expect(await mounted()).toBe(false);
    expect(await readdir(jobsDir)).toEqual(["not-ours"]);
    expect(await readdir(join(workspacesDir, "bench"))).toEqual([".trash"]);
    const backing = readdirSync("/sys/block").map((device) =>
      readFile(`/sys/block/${device}/loop/backing_file`, "utf8").catch(() => ""),
    );
    expect((await Promise.all(backing)).filter((file) => file.includes(dir))).toEqual([]);
  });

  it("belongs to the sandbox's root user: every file, directory and link, whatever its origin", async () => {
    const owner = { uid: 100_000, gid: 100_001 };
    const made = await makeRepository(join(dir, "served/app"), [
      {
        message: "one",
        files: [
          { path: "dir/sub/a", content: "a" },
          { path: "link", content: "/etc/passwd", kind: "symlink" },
        ],
      },
      { message: "two", files: [{ path: "new/b", content: "b" }] },
    ]);
    const files = [{ path: "deep/er/file", content: Buffer.from("x"), modifiedAt: undefined }];
    for (const overlays of [true, false]) {
      const executor = await bench({ dir: join(dir, `executor-${overlays}`), overlays, owner });
      for (const commit of [...made.commits, made.head]) {
        await using workspace = await executor.prepare(
          { repository: "app", commit },
          { files, diskBytes: 20 * mebibyte },
        );

        const others = ["!", "-uid", "100000", "-o", "!", "-gid", "100001"];
        expect(execFileSync("find", [workspace.dir, ...others]).toString()).toBe("");
        expect((await stat("/etc/passwd")).uid).toBe(0);
        expect((await stat(workspace.workspace.readOnlyDir)).uid).toBe(0);
        // The sandbox's root must be able to pass through, but must not list the names of other jobs.
        expect((await stat(join(workspace.workspace.readOnlyDir, ".."))).mode & 0o777).toBe(0o711);
      }
    }
  });
});
