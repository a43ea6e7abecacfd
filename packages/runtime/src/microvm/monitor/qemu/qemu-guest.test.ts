import { execFile } from "node:child_process";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { GuestAgent } from "../../guest/guest-agent.ts";
import type { GuestStep } from "../../guest/step-spec.ts";
import { runCollected, shell } from "../../guest/testing/boot-guest.ts";
import { hostileInitrd, openPort } from "../../testing/hostile-initrd.ts";
import { connectAgent, VmLab } from "../../testing/vm-lab.ts";
import { type RunningVm, slotBytes, type VmPlan, type VmSnapshot } from "../vm-monitor.ts";

const run = promisify(execFile);
const signal = AbortSignal.timeout(300_000);
const mebibyte = 2 ** 20;
const diskBytes = 128 * mebibyte;

// One guest is booted for this file. Each test gets a copy of it.
describeWithEngines(["microvm"], "a guest in QEMU", () => {
  let lab: VmLab;
  let squashfs: string;
  let erofs: string;
  let snapshot: VmSnapshot;

  /** A machine with two empty slots and an empty ext4 disk. */
  const makePlan = async (): Promise<VmPlan> => {
    const plan = await lab.plan();
    const path = join(lab.directory, `${plan.id}.ext4`);
    await writeFile(path, "");
    await truncate(path, diskBytes);
    await run("mkfs.ext4", ["-q", "-F", "-m", "0", "-i", "65536", "-J", "size=4", path]);
    return { ...plan, disks: [null, null, { path, readOnly: false }] };
  };

  beforeAll(async () => {
    // So the copies' random numbers come from the host's seeds.
    lab = await VmLab.open({ hasRandomInstructions: false });
    squashfs = await lab.makeImage("squashfs", "first");
    erofs = await lab.makeImage("erofs", "second");
    await using vm = await lab.monitor.boot(await makePlan(), { signal });
    const dir = join(lab.directory, "snapshot");
    await mkdir(dir);
    snapshot = await vm.snapshot(dir, { signal });
  }, 120_000);

  afterAll(async () => {
    expect(await lab.leftovers()).toEqual([]);
    await lab[Symbol.asyncDispose]();
  });

  interface Copy extends AsyncDisposable {
    readonly vm: RunningVm;
    readonly agent: GuestAgent;
  }

  const startCopy = async ({ workspace = null }: { readonly workspace?: 2 | null } = {}): Promise<Copy> => {
    await using undo = new AsyncDisposableStack();
    const vm = undo.use(await lab.monitor.restore(snapshot, await makePlan(), { signal }));
    const agent = await connectAgent(vm, signal);
    await vm.attachImage(0, squashfs, { signal });
    await agent.mountImage(0, "squashfs", signal);
    await agent.mountWorkspace(workspace, workspace === null ? 64 * mebibyte : diskBytes, signal);
    const resources = undo.move();
    return { vm, agent, [Symbol.asyncDispose]: () => resources.disposeAsync() };
  };
  const runStep = async (agent: GuestAgent, script: string, changes: Partial<GuestStep> = {}) =>
    await runCollected(agent, shell(script, changes), signal);

  it("runs steps from images that were attached while it ran", async () => {
    await using copy = await startCopy();
    const { vm, agent } = copy;
    const first = await runStep(agent, "/bin/busybox cat /marker; echo failed >&2; exit 3");
    expect(first).toEqual({ status: { kind: "exited", exitCode: 3 }, stdout: "first", stderr: "failed\n" });
    await vm.attachImage(1, erofs, { signal });
    await agent.mountImage(1, "erofs", signal);
    const second = await runStep(agent, "/bin/busybox cat /marker", { image: 1 });
    expect(second).toMatchObject({ status: { kind: "exited", exitCode: 0 }, stdout: "second" });
  }, 60_000);

  it("refuses an image that is not as large as a slot, and a slot that is used", async () => {
    await using copy = await startCopy();
    const small = await lab.makeImage("squashfs", "small");
    await truncate(small, mebibyte);
    const words = `has ${mebibyte} bytes, but a slot has ${slotBytes}`;
    await expect(copy.vm.attachImage(1, small, { signal })).rejects.toThrow(words);
    await expect(copy.vm.attachImage(2, erofs, { signal })).rejects.toThrow(
      "disk 2 of the machine is not an empty slot",
    );
    await expect(copy.vm.attachImage(0, erofs, { signal })).rejects.toThrow("has an image already");
  }, 60_000);

  it("keeps the workspace and what steps write on its disk", async () => {
    await using copy = await startCopy({ workspace: 2 });
    const written = await runStep(copy.agent, "echo kept >/data/file; echo layer >/layer; cat /layer", {
      upperBytes: null,
    });
    expect(written).toMatchObject({ status: { exitCode: 0 } });
    const read = await runStep(copy.agent, "while read -r line; do echo $line; done </data/file");
    expect(read).toMatchObject({ stdout: "kept\n" });
  }, 60_000);

  it("gives the workspace on its disk to the user of each step", async () => {
    await using copy = await startCopy({ workspace: 2 });
    const { agent } = copy;
    const user = (uid: number, gid = uid) => ({ uid, gid, upperBytes: null });
    const content = Buffer.from("host\n");
    await agent.putFile(
      { place: "workspace", path: Buffer.from("host"), mode: 0o600, modifiedAt: undefined, content },
      signal,
    );
    const busybox = 'b() { /bin/busybox "$@"; }; cd /data';
    const root = await runStep(
      agent,
      `${busybox}; b mkdir -m 700 dir; echo root >dir/file; b chown 1000:7 dir/file`,
      user(0),
    );
    expect(root).toMatchObject({ status: { exitCode: 0 }, stderr: "" });
    const owners = "b stat -c '%n %u:%g' . host dir dir/file";
    const script = `${busybox}; b cat host; echo more >>dir/file; b cat dir/file; ${owners}`;
    for (const [uid, gid, lines] of [
      [1000, 1001, ""],
      [0, 0, "more\n"],
      [1234, 1234, "more\nmore\n"],
    ] as const) {
      const all = [".", "host", "dir", "dir/file"].map((name) => `${name} ${uid}:${gid}\n`).join("");
      expect(await runStep(agent, script, user(uid, gid))).toMatchObject({
        status: { exitCode: 0 },
        stdout: `host\nroot\n${lines}more\n${all}`,
        stderr: "",
      });
    }
  }, 60_000);

  it("says that a step which did not start lacked memory", async () => {
    await using copy = await startCopy({ workspace: 2 });
    const starting = runStep(copy.agent, "true", { memoryBytes: 65_536, upperBytes: null });
    await expect(starting).rejects.toMatchObject({ name: "GuestCallError", code: "out-of-memory" });
    expect((await runStep(copy.agent, "echo alive")).stdout).toBe("alive\n");
  }, 60_000);

  it("reports signals and the kernel's out-of-memory kills", async () => {
    await using copy = await startCopy();
    const killed = await runStep(copy.agent, "kill -9 $$");
    expect(killed.status).toEqual({ kind: "exited", exitCode: 137 });
    // The shell becomes the process that asks for memory, so the step itself is killed.
    const greedy = "exec /bin/busybox tail /dev/zero";
    const outOfMemory = await runStep(copy.agent, greedy, { memoryBytes: 16 * mebibyte });
    expect(outOfMemory.status).toEqual({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
    const after = await runStep(copy.agent, "echo alive");
    expect(after.stdout).toBe("alive\n");
  }, 60_000);

  it("limits a step's processes", async () => {
    await using copy = await startCopy();
    const forking = "for i in 1 2 3 4 5 6 7 8 9; do /bin/busybox sleep 0.1 & done; wait; echo done";
    const limited = await runStep(copy.agent, forking, { pids: 5 });
    expect(limited.stderr).toContain("can't fork");
  }, 60_000);

  it("would share random numbers with another copy if its agent got no seed", async () => {
    // In place of the agent, a script that prints random numbers as soon as the host has answered its greeting.
    const numbers = "/busybox head -c 16 /dev/urandom | /busybox od -An -tx1 -v | /busybox tr -d ' \\n'";
    const script = `${openPort}\nexec 3<>/dev/vport0p1; echo hello >&3; read -r answer <&3; ${numbers} >&3; /busybox sleep 60`;
    const original = await lab.plan({ disks: [null] });
    const initrd = await hostileInitrd(original.guest.initrd, join(lab.directory, "unseeded.cpio"), script);
    const guest = { ...original.guest, initrd };
    await using vm = await lab.monitor.boot({ ...original, guest }, { signal });
    const dir = join(lab.directory, "unseeded");
    await mkdir(dir);
    const unseeded = await vm.snapshot(dir, { signal });
    const copyNumbers = async () => {
      await using copy = await lab.monitor.restore(unseeded, await lab.plan({ disks: [null], guest }), { signal });
      copy.stream.write("go\n");
      let text = "";
      for await (const bytes of copy.stream) {
        text += bytes;
        const [, found] = /^hello\s+([0-9a-f]{32})$/.exec(text) ?? [];
        if (found !== undefined) return found;
      }
      return text;
    };
    // The kernel itself mixes in its clock every second or more. Copies that run across that moment differ.
    const found = new Set([await copyNumbers()]);
    for (let copies = 1; copies === found.size && copies < 8; copies += 1) found.add(await copyNumbers());
    for (const one of found) expect(one).toMatch(/^[0-9a-f]{32}$/);
    expect(found.size).toBeLessThan(8);
  }, 60_000);

  it("never shares random numbers with another copy, and has the host's time", async () => {
    const clocks = "/bin/busybox date +%s; read -r up _ </proc/uptime; echo $up";
    const script = `/bin/busybox od -An -tx1 -v -N32 /dev/urandom; ${clocks}; /bin/busybox sleep 1; ${clocks}`;
    await using one = await startCopy();
    await using other = await startCopy();
    const before = Date.now() / 1000;
    const printed = await Promise.all([one, other].map(({ agent }) => runStep(agent, script)));
    const after = Date.now() / 1000;
    const lines = printed.map(({ stdout }) => stdout.trim().split("\n"));
    const numbers = lines.map(([first = "", second = ""]) => (first + second).replaceAll(" ", ""));
    expect(numbers[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(numbers[1]).not.toBe(numbers[0]);
    for (const [, , time, up, endTime, endUp] of lines) {
      expect(Number(time)).toBeGreaterThan(before - 2);
      expect(Number(endTime)).toBeLessThan(after + 2);
      // The guest's second is the host's, so the frequency of its clock is right.
      expect(Number(endUp) - Number(up)).toBeGreaterThan(0.97);
      expect(Number(endUp) - Number(up)).toBeLessThan(after - before + 0.1);
    }
  }, 60_000);
});
