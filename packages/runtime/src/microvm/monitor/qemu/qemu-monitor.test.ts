import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { hostileInitrd, openPort } from "../../testing/hostile-initrd.ts";
import { connectAgent, VmLab } from "../../testing/vm-lab.ts";
import type { VmPlan } from "../vm-monitor.ts";

const run = promisify(execFile);
const bootMain = fileURLToPath(new URL("../../testing/boot-main.ts", import.meta.url));
const signal = AbortSignal.timeout(400_000);

/** The process of a machine, found by its name on the command line. */
async function pidOf(plan: VmPlan): Promise<number> {
  const { stdout } = await run("pgrep", ["-f", `^[^ ]*qemu-system.* guest=${plan.id} `]);
  return Number(stdout.trim());
}

/** Mappings of at least this size that a core dump would contain. */
async function dumpedMappings(pid: number, bytes: number): Promise<readonly string[]> {
  const mappings = (await readFile(`/proc/${pid}/smaps`, "utf8")).split(/(?<=^VmFlags:.*\n)/m);
  const large = mappings.filter((mapping) => Number(/^Size: +(\d+) kB/m.exec(mapping)?.[1]) * 1024 >= bytes);
  expect(large).not.toEqual([]);
  return large.filter((mapping) => !/^VmFlags:.* dd\b/m.test(mapping));
}

describeWithEngines(["microvm"], "machines of QEMU", () => {
  let lab: VmLab;

  beforeAll(async () => {
    lab = await VmLab.open();
  }, 120_000);

  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const guestWith = async (name: string, script: string) => {
    const plan = await lab.plan();
    const initrd = await hostileInitrd(plan.guest.initrd, join(lab.directory, `${name}.cpio`), script);
    return { ...plan, guest: { ...plan.guest, initrd } };
  };

  it("boot side by side without privileges, and power off", async () => {
    const plans = [await lab.plan({ disks: [null] }), await lab.plan({ disks: [null] })];
    const machines = await Promise.all(plans.map((plan) => lab.monitor.boot(plan, { signal })));
    const agents = await Promise.all(machines.map((vm) => connectAgent(vm, signal)));
    const users: string[] = [];
    for (const plan of plans) {
      const status = await readFile(`/proc/${await pidOf(plan)}/status`, "utf8");
      expect(status).toMatch(/^CapBnd:\t0+$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).toMatch(/^Seccomp:\t2$/m);
      // It is the only process of its namespace, and sees no file of the host but those it needs.
      expect(status).toMatch(/^NSpid:\t\d+\t1$/m);
      expect(await readdir(`/proc/${await pidOf(plan)}/root`)).toEqual(expect.arrayContaining(["kernel", "usr"]));
      expect(await readdir(`/proc/${await pidOf(plan)}/root/usr`)).toEqual(["bin", "lib", "share"]);
      expect(await readdir(`/proc/${await pidOf(plan)}/root/proc`)).toEqual([]);
      // A guest can make QEMU crash. Nothing of its memory may be left on the host then.
      const limits = await readFile(`/proc/${await pidOf(plan)}/limits`, "utf8");
      expect(limits).toMatch(/^Max core file size +0 +0 /m);
      expect(await dumpedMappings(await pidOf(plan), plan.memoryBytes)).toEqual([]);
      users.push(/^Uid:\t(\d+)/m.exec(status)?.[1] ?? "none");
      const cgroups = await readFile(`/proc/${await pidOf(plan)}/cgroup`, "utf8");
      expect(cgroups).toContain(`/airlock/${lab.owner}/${plan.id}`);
    }
    expect(new Set(users).size).toBe(2);
    expect(Number(users[0])).toBeGreaterThan(65_536);
    await Promise.all(agents.map((agent) => agent.powerOff(signal)));
    for (const vm of machines) {
      expect(await vm.ended).toMatchObject({ exitCode: 0 });
      await vm[Symbol.asyncDispose]();
    }
    expect(await lab.leftovers()).toEqual([]);
  }, 120_000);

  it("end when their monitor is killed, and leave nothing", async () => {
    const plan = await lab.plan({ disks: [null] });
    const vm = await lab.monitor.boot(plan, { signal });
    const agent = await connectAgent(vm, signal);
    process.kill(await pidOf(plan), "SIGKILL");
    expect(await vm.ended).toMatchObject({ exitCode: null });
    await expect(agent.stats(signal)).rejects.toMatchObject({ reason: "runtime" });
    await vm[Symbol.asyncDispose]();
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("end with the executor when it is killed", async () => {
    const plan = await lab.plan({ disks: [null] });
    const { qemuPath } = engines().microvm ?? expect.unreachable();
    const executor = spawn(process.execPath, [bootMain, JSON.stringify(plan), qemuPath]);
    const [line] = await once(executor.stdout, "data");
    expect(String(line)).toBe("booted\n");
    const pid = await pidOf(plan);
    executor.kill("SIGKILL");
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"), { timeout: 10_000 });
    for (const name of await readdir(plan.dir)) await rm(join(plan.dir, name), { recursive: true });
  }, 60_000);

  it("reach the network of their namespace through a tap", async () => {
    const name = `airlock-${lab.owner}`;
    const namespace = `/run/netns/${name}`;
    await run("ip", ["netns", "add", name]);
    await using _namespace = { [Symbol.asyncDispose]: () => run("ip", ["netns", "delete", name]).then(() => {}) };
    await run("ip", ["-n", name, "tuntap", "add", "dev", "tap0", "mode", "tap"]);
    await run("ip", ["-n", name, "addr", "add", "10.77.0.1/24", "dev", "tap0"]);
    await run("ip", ["-n", name, "link", "set", "tap0", "up"]);
    const network = { namespace, tap: "tap0", macAddress: "02:00:00:00:00:01" };
    const ip = "/busybox ip addr add 10.77.0.2/24 dev eth0; /busybox ip link set eth0 up";
    const script = `${openPort}\n${ip}\n/busybox ping -c 1 -W 5 10.77.0.1 >/dev/null && echo reached >/dev/vport0p1; /busybox sleep 60`;
    await using vm = await lab.monitor.boot({ ...(await guestWith("network", script)), network }, { signal });
    const [bytes] = await once(vm.stream, "data");
    const missing = { ...network, tap: "tap1" };
    const booting = lab.monitor.boot(await lab.plan({ network: missing }), { signal });
    await expect(booting).rejects.toThrow("the machine's network device tap1 can't be opened");
    expect(String(bytes)).toBe("reached\n");
  }, 60_000);

  it("are refused with QEMU's words when the kernel is not one", async () => {
    const plan = await lab.plan();
    const kernel = join(lab.directory, "not-a-kernel");
    await writeFile(kernel, "no kernel");
    const booting = lab.monitor.boot({ ...plan, guest: { ...plan.guest, kernel } }, { signal });
    await expect(booting).rejects.toMatchObject({ reason: "runtime", message: expect.stringContaining("kernel") });
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("that panic end at once, with the console's end in the error", async () => {
    const booting = lab.monitor.boot(await guestWith("panic", "echo last words; exit 7"), { signal });
    await expect(booting).rejects.toThrow(/last words[\s\S]*Kernel panic - not syncing: Attempted to kill init!/);
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("whose initrd is garbage end at once", async () => {
    const plan = await lab.plan();
    const initrd = join(lab.directory, "garbage.cpio");
    await writeFile(initrd, Buffer.alloc(65_536, "garbage"));
    const booting = lab.monitor.boot({ ...plan, guest: { ...plan.guest, initrd } }, { signal });
    await expect(booting).rejects.toThrow("Kernel panic");
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("that never connect end after their time", async () => {
    const silent = await guestWith("silent", "/busybox sleep 60");
    const booting = lab.monitor.boot({ ...silent, bootMs: 1_000 }, { signal });
    await expect(booting).rejects.toThrow("the guest's agent did not connect within 1000 ms");
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("that flood the console keep only its printable end", async () => {
    const line = 'echo "flood $(/busybox printf "\\033[2J")"';
    const script = `${openPort}\n${line}\nwhile :; do ${line}; done & echo ready >/dev/vport0p1; wait`;
    const vm = await lab.monitor.boot(await guestWith("flood", script), { signal });
    await once(vm.stream, "data");
    await vm[Symbol.asyncDispose]();
    const { console } = await vm.ended;
    expect(console).toContain("flood ?[2J");
    expect(console.length).toBeLessThanOrEqual(16_384);
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("that send garbage to the host fail their agent's connection", async () => {
    const script = `${openPort}\nexec /busybox dd if=/dev/urandom of=/dev/vport0p1 bs=64k`;
    const vm = await lab.monitor.boot(await guestWith("garbage-agent", script), { signal });
    await expect(connectAgent(vm, signal)).rejects.toMatchObject({ reason: "runtime" });
    await vm[Symbol.asyncDispose]();
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("that are aborted while they boot leave nothing", async () => {
    const abort = new AbortController();
    const plan = await lab.plan({ disks: [null] });
    const ended = expect(lab.monitor.boot(plan, { signal: abort.signal })).rejects.toThrow("the job was canceled");
    await vi.waitFor(() => pidOf(plan), { timeout: 10_000 });
    abort.abort(new Error("the job was canceled"));
    await ended;
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("refuse a snapshot of another configuration, and a damaged one", async () => {
    const dir = join(lab.directory, "snapshot");
    await mkdir(dir);
    await using vm = await lab.monitor.boot(await lab.plan({ disks: [null] }), { signal });
    const snapshot = await vm.snapshot(dir, { signal });
    const unusable = { code: "snapshot-unusable", reason: "runtime" };
    const restore = async (changes: Partial<VmPlan>) =>
      await lab.monitor.restore(snapshot, await lab.plan({ disks: [null], ...changes }), { signal });
    await expect(restore({ cpus: 2 })).rejects.toMatchObject({
      ...unusable,
      message: expect.stringContaining("its cpus is 1, but the machine has 2"),
    });
    await expect(restore({ disks: [] })).rejects.toMatchObject(unusable);
    const manifest = join(dir, "snapshot.json");
    const text = await readFile(manifest, "utf8");
    for (const [from, to] of [
      [/"monitor":"/, '"monitor":"6.'],
      [/"kernel":"/, '"kernel":"old-'],
      [/"initrd":"/, '"initrd":"old-'],
      [/"format":1/, '"format":0'],
    ] as const) {
      await writeFile(manifest, text.replace(from, to));
      await expect(restore({})).rejects.toMatchObject(unusable);
    }
    await writeFile(manifest, text);
    const state = await readFile(join(dir, "state"));
    await writeFile(join(dir, "state"), Buffer.alloc(state.length, "x"));
    await expect(restore({})).rejects.toMatchObject(unusable);
    await truncate(join(dir, "state"), 1000);
    await expect(restore({})).rejects.toMatchObject(unusable);
    expect(await lab.leftovers()).toEqual([]);
  }, 60_000);

  it("are refused when their plan is impossible", async () => {
    const boot = async (changes: Partial<VmPlan>) => await lab.monitor.boot(await lab.plan(changes), { signal });
    const refused = (words: string) => ({ reason: "runtime", message: expect.stringContaining(words) });
    await expect(boot({ id: "../x" })).rejects.toMatchObject(refused("has an id"));
    await expect(boot({ memoryBytes: 1 })).rejects.toMatchObject(refused("bytes of memory"));
    await expect(boot({ cpus: 0 })).rejects.toMatchObject(refused("0 processors"));
    await expect(boot({ disks: Array.from({ length: 21 }, () => null) })).rejects.toMatchObject(refused("21 disks"));
    const disk = { path: join(lab.directory, "missing"), readOnly: true };
    await expect(boot({ disks: [disk] })).rejects.toMatchObject(refused("missing can't be used"));
    const network = { namespace: "/run/netns/x", tap: "tap0,script=/x", macAddress: "02:00:00:00:00:01" };
    await expect(boot({ network })).rejects.toMatchObject(refused("a tap"));
    expect(await lab.leftovers()).toEqual([]);
  });
});
