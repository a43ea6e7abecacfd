import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildStandInQemu } from "../../testing/stand-in-qemu.ts";
import { testQemuMonitor } from "../../testing/test-guest.ts";
import { VmLab } from "../../testing/vm-lab.ts";
import type { VmPlan } from "../vm-monitor.ts";
import { QemuMonitor } from "./qemu-monitor.ts";

const signal = AbortSignal.timeout(120_000);
const mebibyte = 2 ** 20;

describeWithEngines(["microvm"], "the confinement of QEMU", () => {
  let lab: VmLab;
  let program: string;

  beforeAll(async () => {
    lab = await VmLab.open();
    program = join(lab.directory, "stand-in-qemu");
    await buildStandInQemu(program);
  }, 120_000);
  afterAll(() => lab?.[Symbol.asyncDispose]());

  /** What a stand-in in QEMU's place prints. */
  async function findings(monitor: QemuMonitor, plan: VmPlan): Promise<ReadonlyMap<string, string>> {
    const error: unknown = await monitor.boot(plan, { signal }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    const lines = String(error).matchAll(/^(?:.*: )?([a-z ]+|\/.*?):(?: (.*))?$/gm);
    return new Map([...lines].map(([, name = "", value = ""]) => [name, value]));
  }

  it.each(["root", "a user namespace"])(
    "by %s shows nothing of the host",
    async (by) => {
      const disk = join(lab.directory, "disk");
      await writeFile(disk, Buffer.alloc(4 * mebibyte));
      const plan = await lab.plan({ disks: [null, { path: disk, readOnly: false }] });
      const alone = { program, accelerator: "tcg", kvmGroup: null, ids: null, networks: null, cgroups: null } as const;
      const monitor = by === "root" ? await testQemuMonitor({ owner: lab.owner, program }) : new QemuMonitor(alone);
      const found = await findings(monitor, plan);
      const sorted = (name: string) => found.get(name)?.split(" ").sort();
      const ofMachine = ["initrd", "kernel", "machine", "old", "proc"];
      const ofSystem = sorted("/")?.filter((name) => !ofMachine.includes(name));
      expect(sorted("/")).toEqual([...ofMachine, ...(ofSystem ?? [])].sort());
      for (const name of ofSystem ?? []) expect(["usr", "lib", "lib64", "tmp"]).toContain(name);
      expect(found.get("/..")).toBe(found.get("/"));
      expect(found.get("/old")).toBe("mounts");
      expect(found.get("/proc")).toBe("");
      expect(found.get("read")).toBe("");
      expect(found.get("made")).toBe("");
      expect(found.get("processes")).toBe("");
      expect(found.get("core")).toBe("0 0");
      expect(found.get("file size")).toBe(`${4 * mebibyte} ${4 * mebibyte}`);
      expect(found.get("files")).toBe("512 512");
      expect(found.get("host")).toBe("machine");
      expect(await lab.leftovers()).toEqual([]);
    },
    60_000,
  );
});
