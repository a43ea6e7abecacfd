import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findCgroupHost } from "../../host/cgroups/cgroup-host.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import type { QemuMonitor } from "../monitor/qemu/qemu-monitor.ts";
import { type RunningVm, slotBytes, type VmPlan } from "../monitor/vm-monitor.ts";
import { testGuest, testQemuMonitor } from "./test-guest.ts";

const run = promisify(execFile);
const mebibyte = 2 ** 20;

/** A place for the machines of one test file: a monitor, image disks with busybox, and machines' directories. */
export class VmLab implements AsyncDisposable {
  readonly monitor: QemuMonitor;
  readonly owner: string;
  readonly directory: string;
  readonly #guest: VmPlan["guest"];
  #count = 0;

  private constructor(parts: { monitor: QemuMonitor; owner: string; directory: string; guest: VmPlan["guest"] }) {
    this.monitor = parts.monitor;
    this.owner = parts.owner;
    this.directory = parts.directory;
    this.#guest = parts.guest;
  }

  /** @param options.hasRandomInstructions Whether the processors of guests have RDRAND and RDSEED. Default: true. */
  static async open({ hasRandomInstructions = true } = {}): Promise<VmLab> {
    const owner = `vm-test-${randomBytes(4).toString("hex")}`;
    const directory = await mkdtemp(join(tmpdir(), "vm-"));
    // Users of machines run programs in it.
    await chmod(directory, 0o711);
    const processor = hasRandomInstructions ? "max" : "max,rdrand=off,rdseed=off";
    const monitor = await testQemuMonitor({ owner, processor });
    return new VmLab({ monitor, owner, directory, guest: await testGuest() });
  }

  /** Makes an image with busybox, `/data`, and a file `/marker` with this text. Its size is that of a slot. */
  async makeImage(type: "squashfs" | "erofs", marker: string): Promise<string> {
    const tree = join(this.directory, `tree-${marker}`);
    const image = join(this.directory, `${marker}.${type}`);
    await mkdir(join(tree, "bin"), { recursive: true });
    await mkdir(join(tree, "data"));
    await copyFile("/bin/busybox", join(tree, "bin", "busybox"));
    await symlink("busybox", join(tree, "bin", "sh"));
    await run("/bin/sh", ["-c", 'printf %s "$1" >"$2/marker"', "sh", marker, tree]);
    if (type === "squashfs") await run("mksquashfs", [tree, image, "-quiet", "-noappend"]);
    else await run("mkfs.erofs", [image, tree]);
    await truncate(image, slotBytes);
    await chmod(image, 0o644);
    return image;
  }

  async plan(changes: Partial<VmPlan> = {}): Promise<VmPlan> {
    this.#count += 1;
    const id = `${this.owner}-${this.#count}`;
    const dir = join(this.directory, id);
    await mkdir(dir);
    return {
      id,
      dir,
      guest: this.#guest,
      cpus: 1,
      memoryBytes: 256 * mebibyte,
      disks: [],
      network: null,
      bootMs: 150_000,
      ...changes,
    };
  }

  /** What is left of machines that have ended: processes, files, cgroups. */
  async leftovers(): Promise<readonly string[]> {
    const { stdout } = await run("ps", ["-eo", "pid,args"], { maxBuffer: 2 ** 24 });
    const processes = stdout.split("\n").filter((line) => line.includes(`guest=${this.owner}-`));
    const host = await findCgroupHost();
    const directories = (await readdir(this.directory)).filter((name) => /^vm-test-\w+-\d+$/.test(name));
    const files = await Promise.all(directories.map(async (name) => await readdir(join(this.directory, name))));
    return [...processes, ...files.flat(), ...(await host.list(this.owner))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Connects to the agent of a machine and gives it random numbers and the time. */
export async function connectAgent(vm: RunningVm, signal: AbortSignal): Promise<GuestAgent> {
  return await GuestAgent.connect(vm.stream, { signal, seed: randomBytes(32), time: new Date() });
}
