import { chmod, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  describeWithEngines,
  standInFirecracker,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { copyGuestFiles } from "./guest/build/build-guest-files.ts";
import type { MonitorSettings } from "./monitor/choice/monitor-settings.ts";
import { type OpenMicrovmOptions, openMicrovmRuntime } from "./open-microvm-runtime.ts";
import { emulation, testGuest } from "./testing/test-guest.ts";

const { signal } = new AbortController();
const bootMs = 120_000;

describeWithEngines(["microvm"], "the choice of a monitor", () => {
  let directory: TemporaryDirectory;
  /** A stand-in that takes no real kernel, so it starts, but boots no guest. */
  let firecrackerPath: string;
  let jailerPath: string;
  let guestDir: string;

  beforeAll(async () => {
    directory = await temporaryDirectory("vm-");
    // The users of virtual machines pass through.
    await chmod(directory.path, 0o711);
    ({ firecracker: firecrackerPath, jailer: jailerPath } = await standInFirecracker(directory.path));
    guestDir = join(directory.path, "guest");
    await copyGuestFiles(dirname((await testGuest()).kernel), guestDir);
  }, 2 * bootMs);
  afterAll(() => directory?.[Symbol.asyncDispose]());

  async function open(monitor: MonitorSettings, changes: Partial<OpenMicrovmOptions> = {}) {
    const stateDir = join(directory.path, "s");
    const runtime = await openMicrovmRuntime({ stateDir, guestDir, monitor, ...changes });
    const description = await runtime.describe({ signal });
    await runtime.close();
    return description;
  }

  const program = async (name: string, script: string) => {
    const path = join(directory.path, name);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return path;
  };

  it(
    "takes the best that boots a guest, and says why better ones did not",
    async () => {
      const settings = { ...emulation(), monitor: "auto", accelerator: "auto", firecrackerPath, jailerPath } as const;
      const { version, notes } = await open(settings);
      // Which accelerator works is up to the machine of the test.
      expect(version).toMatch(/^qemu \d.*, accelerator (kvm|tcg)$/);
      expect(notes).toContainEqual(
        expect.stringMatching(
          /^Firecracker is not used: the virtual machine "probe-\w+" did not start: .*Cannot load kernel/,
        ),
      );
      const reason = expect.stringMatching(/^QEMU with KVM is not used: .*kvm/i);
      if (version.endsWith("tcg")) expect(notes).toContainEqual(reason);
      expect(await readdir(join(directory.path, "s", "vms"))).toEqual([]);
    },
    bootMs,
  );

  it("fails if the only permitted one boots no guest", async () => {
    const settings = { monitor: "firecracker", accelerator: "auto", firecrackerPath, jailerPath } as const;
    await expect(open(settings)).rejects.toThrow(/did not start: .*Cannot load kernel/);
    await expect(
      open({ ...settings, firecrackerPath: await program("other-firecracker", "exit 1") }),
    ).rejects.toThrow();
  });

  it("names every reason if none boots a guest", async () => {
    const settings = { ...emulation(), monitor: "auto", accelerator: "auto", firecrackerPath, jailerPath } as const;
    const qemuPath = await program("qemu", 'test "$1" = --version && echo QEMU emulator version 9 && exit; exit 1');
    await expect(open({ ...settings, qemuPath })).rejects.toMatchObject({
      message: expect.stringMatching(
        /Firecracker is not used: .* QEMU with KVM is not used: .* QEMU without KVM is not used: .*not an ELF program/,
      ),
      hint: expect.stringContaining("EXECUTOR_VM_MONITOR"),
    });
  });

  it("refuses an old Firecracker, and a jailer of another release", async () => {
    const settings = { monitor: "firecracker", accelerator: "auto", firecrackerPath, jailerPath } as const;
    const old = await program("old-firecracker", "echo Firecracker v1.16.1");
    await expect(open({ ...settings, firecrackerPath: old })).rejects.toThrow("Firecracker 1.16.1 is older than 1.17");
    const other = await program("other-jailer", "echo Jailer v1.18.0");
    await expect(open({ ...settings, jailerPath: other })).rejects.toThrow("reports 1.18.0");
  });

  it("names the setting of a program that is not there or is another one, whatever else would work", async () => {
    for (const [name, variable] of [
      ["firecrackerPath", "EXECUTOR_FIRECRACKER"],
      ["jailerPath", "EXECUTOR_JAILER"],
      ["qemuPath", "EXECUTOR_QEMU"],
    ] as const) {
      const settings = { ...emulation(), monitor: "auto", accelerator: "auto", firecrackerPath, jailerPath } as const;
      // QEMU is tried last, and only if nothing before it works.
      const before = name === "qemuPath" ? { monitor: "qemu" as const } : {};
      for (const path of ["/nonexistent/program", "/bin/true"]) {
        await expect(open({ ...settings, ...before, [name]: path })).rejects.toMatchObject({
          code: "monitor-missing",
          message: expect.stringContaining(`${variable} does not name `),
          hint: `Correct the path in ${variable}.`,
        });
      }
    }
  });

  it("boots nothing for a process that starts no machine", async () => {
    const settings = { monitor: "firecracker", accelerator: "auto", firecrackerPath, jailerPath } as const;
    expect((await open(settings, { choice: "installed" })).version).toMatch(/^firecracker 1\.17/);
  });
});
