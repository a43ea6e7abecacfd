import { appendFile, copyFile, readFile, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { beforeAll, expect, it } from "vitest";
import { type BuiltGuest, copyGuestFiles } from "./guest/build/build-guest-files.ts";
import { GuestHold } from "./guest/guest-hold.ts";
import { type OpenMicrovmOptions, openMicrovmRuntime } from "./open-microvm-runtime.ts";
import { emulation, testGuest } from "./testing/test-guest.ts";

const signal = AbortSignal.timeout(200_000);

describeWithEngines(["microvm"], "opening the microvm runtime", () => {
  let guest: BuiltGuest;

  beforeAll(async () => {
    guest = await testGuest();
  }, 200_000);

  async function open(changes: Partial<OpenMicrovmOptions>) {
    await using directory = await temporaryDirectory("vm-");
    const options: OpenMicrovmOptions = {
      stateDir: join(directory.path, "state"),
      guestDir: dirname(guest.kernel),
      monitor: emulation(),
      choice: "installed",
      ...changes,
    };
    const runtime = await openMicrovmRuntime(options);
    const description = await runtime.describe({ signal });
    await runtime.close();
    return description;
  }

  it("says which monitor and accelerator run steps, and that they are slow", async () => {
    const { version, notes, components } = await open({});
    expect(version).toMatch(/^qemu \d\S* .*accelerator tcg$/);
    expect(components).toEqual([{ name: "qemu", version: expect.stringMatching(/^\d/) }]);
    expect(notes).toContainEqual(expect.stringMatching(/emulated by QEMU .*many times slower/));
  });

  it("never builds the guest's files: without them it names the command that does", async () => {
    await using empty = await temporaryDirectory();
    await expect(open({ guestDir: empty.path })).rejects.toMatchObject({
      message: expect.stringContaining(`${empty.path} has no files`),
      hint: "Run as root: executor install microvm",
    });
  });

  it("refuses changed files, and files of another version", async () => {
    await using copy = await temporaryDirectory();
    const { initrd } = await copyGuestFiles(dirname(guest.kernel), copy.path);
    await appendFile(initrd, "more");
    await expect(open({ guestDir: copy.path })).rejects.toMatchObject({
      message: expect.stringContaining("does not have the checksum"),
      hint: expect.stringContaining("executor install microvm"),
    });
    await copyFile(guest.initrd, join(copy.path, basename(guest.initrd)));
    const manifest = join(copy.path, "guest.json");
    const changed = { ...JSON.parse(await readFile(manifest, "utf8")), recipe: "0".repeat(64) };
    await writeFile(manifest, JSON.stringify(changed));
    await expect(open({ guestDir: copy.path })).rejects.toMatchObject({
      message: expect.stringContaining("belong to another version"),
      hint: "Run as root: executor install microvm",
    });
  });

  it("keeps the files that it uses, and removes those of earlier installations with unused images", async () => {
    await using copy = await temporaryDirectory("vm-");
    const used = await copyGuestFiles(dirname(guest.kernel), copy.path);
    const options = { stateDir: join(copy.path, "state"), guestDir: copy.path, monitor: emulation() };
    const runtime = await openMicrovmRuntime({ ...options, choice: "installed" });
    const old = `vmlinux-${"0".repeat(16)}`;
    await writeFile(join(copy.path, old), "");
    // Another version was installed.
    await writeFile(join(copy.path, "guest.json"), "{}");
    expect(await runtime.evictImages({ signal })).toEqual([`${old} of an earlier installation`]);
    using installation = await GuestHold.ofAll(copy.path);
    installation.narrow([]);
    expect(installation.removeUnused()).toEqual([]);
    await runtime.close();
    expect(installation.removeUnused().toSorted()).toEqual([basename(used.initrd), basename(used.kernel)]);
  });

  it("offers Docker only with a disk of this version, and runs other jobs without it", async () => {
    await using copy = await temporaryDirectory();
    await copyGuestFiles(dirname(guest.kernel), copy.path);
    const install = "Run as root: executor install microvm --docker.";
    const { dockerProblem, notes } = await open({ guestDir: copy.path });
    expect(dockerProblem).toBe(`Docker for virtual machines is not installed. ${install}`);
    expect(notes).toContain(`Jobs with \`services: docker\` go to other executors. ${dockerProblem}`);
    await writeFile(join(copy.path, "docker.json"), "{}");
    const problem = `The disk with Docker in ${copy.path} belongs to another kernel or version of the executor. ${install}`;
    expect((await open({ guestDir: copy.path })).dockerProblem).toBe(problem);
  });

  it("refuses a state directory whose path is too long for sockets", async () => {
    await expect(open({ stateDir: `/tmp/${"d".repeat(60)}` })).rejects.toMatchObject({
      message: expect.stringContaining("longer than 55 bytes"),
      hint: "Set EXECUTOR_DATA_DIR to a directory whose path is at least 10 bytes shorter.",
    });
  });

  it("starts a job whose memory limit is more than this machine has", async () => {
    await using directory = await temporaryDirectory("vm-");
    await using cleanup = new AsyncDisposableStack();
    const runtime = await openMicrovmRuntime({
      stateDir: join(directory.path, "state"),
      guestDir: dirname(guest.kernel),
      monitor: emulation(),
      choice: "installed",
    });
    cleanup.defer(() => runtime.close());
    const limits = { cpus: 1, memoryBytes: 3 * totalmem(), pids: 64, diskBytes: 64 * 2 ** 20 };
    const workspace = { checkout: null, files: [], readOnlyFiles: [] };
    const owner = `memory-${process.pid}`;
    const egress = { kind: "none" } as const;
    const sandbox = await runtime.createSandbox({ id: "large", owner, workspace, limits, egress }, { signal });
    await sandbox[Symbol.asyncDispose]();
  }, 60_000);

  it("names the setting of a QEMU that is not there", async () => {
    await expect(open({ monitor: { ...emulation(), qemuPath: "/nonexistent/qemu" } })).rejects.toMatchObject({
      message: "EXECUTOR_QEMU does not name QEMU: /nonexistent/qemu can't be run",
      hint: "Correct the path in EXECUTOR_QEMU.",
    });
  });
});
