import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  buildGuestFiles,
  copyDockerDisk,
  copyGuestFiles,
  makeDockerDisk,
  openMicrovmRuntime,
} from "@airlock/runtime/microvm";
import {
  busyboxImage,
  createDatabase,
  describeWithEngines,
  dockerArchive,
  engines,
  InstanceProcess,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { microvmOptions } from "../cli/create-runtime.ts";
import { guestDir, runtimeDir } from "../cli/runtime-dir.ts";
import { parseConfig } from "../config/config.ts";
import { testSecret } from "../testing/scripted-instance.ts";
import { startExecutor } from "../testing/start-executor.ts";

/** Kept across runs, because a kernel and Docker have to be downloaded. */
const guestCache = fileURLToPath(new URL("../../../../node_modules/.cache/airlock-guest/", import.meta.url));
const image = "fixtures/shell:1";
const { signal } = new AbortController();

interface ShownJob {
  readonly id: number;
  readonly state: string;
  readonly exitCode: number | null;
  readonly explanation: { readonly code: string; readonly message: string };
}

describeWithEngines(["postgres", "microvm"], "a job with services: docker", () => {
  const stack = new AsyncDisposableStack();
  let dir: string;
  let instance: InstanceProcess;

  beforeAll(async () => {
    dir = stack.use(await temporaryDirectory("dj-")).path;
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    instance = stack.use(
      await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
    );
    await installGuest(guestDir(join(dir, "vm")));
  }, 600_000);
  afterAll(() => stack.disposeAsync(), 60_000);

  const show = async (id: number) => (await instance.rest("GET", `/jobs/${id}`)) as ShownJob;

  /** Starts an executor that runs jobs in virtual machines. */
  async function startMicrovmExecutor(): Promise<void> {
    const dataDir = join(dir, "vm");
    const config = parseConfig({
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: testSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_DATA_DIR: dataDir,
      EXECUTOR_RUNTIME: "microvm",
      EXECUTOR_VM_ACCELERATOR: "tcg",
      EXECUTOR_QEMU: engines().microvm?.qemuPath ?? "",
    });
    const options = await microvmOptions(config, runtimeDir(config));
    const runtime = await openMicrovmRuntime({ ...options, choice: "installed" });
    const archive = join(dir, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    await runtime.loadImages(archive, { signal });
    stack.use(await startExecutor({ url: instance.url, dataDir, runtime }));
  }

  it("waits for an executor that offers it, and then runs containers in its own virtual machine", async () => {
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "other") }));
    const inner = await dockerArchive(await busyboxImage(), "inner:1");
    const run = `base64 -d inner | docker load --quiet
      docker run --rm inner:1 sh -c 'echo "kernel $(uname -r)"; exit 7'`;
    const { id } = (await instance.rest("POST", "/jobs", {
      steps: [{ key: "main", image, run }],
      files: { inner: inner.toString("base64") },
      services: "docker",
      egress: "none",
      resources: { cpus: 1, memory: "768Mi", disk: "192Mi" },
    })) as ShownJob;
    await expect
      .poll(async () => (await show(id)).explanation, { timeout: 10_000 })
      .toEqual({
        code: "no-matching-executor",
        message: expect.stringMatching(/^No executor of queue "default" supports services: docker\. .*microvm/),
      });

    await startMicrovmExecutor();
    await expect.poll(async () => (await show(id)).state, { timeout: 240_000 }).toBe("failed");

    const log = await instance.rest("GET", `/jobs/${id}/logs`);
    expect(log).toContain("Loaded image: inner:1\n");
    // A kernel of its own, not this machine's.
    expect(log).toMatch(/kernel .*-cloud-amd64\n/);
    expect((await show(id)).exitCode).toBe(7);
  }, 300_000);
});

/** Copies the guest's files and the disk with Docker, and makes them the first time. */
async function installGuest(target: string): Promise<void> {
  const guest = await buildGuestFiles({ directory: guestCache, signal });
  const directory = join(guestCache, "docker");
  await mkdir(directory, { recursive: true });
  const kernelPackage = (await readdir(guestCache)).find((name) => name.endsWith(".deb"));
  const made = await makeDockerDisk(guest, {
    directory,
    signal,
    ...(kernelPackage === undefined ? {} : { kernelPackage: join(guestCache, kernelPackage) }),
  });
  const copied = await copyGuestFiles(dirname(made.guest.kernel), target);
  expect(await copyDockerDisk(directory, target, copied, { signal })).toBeDefined();
}
