import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex, Readable } from "node:stream";
import type { EmulatedMachine } from "./guest-kinds.ts";

const [agentDescriptor, controlDescriptor] = [3, 4];
/** The machine has 24 places for devices. The guest finds the device at the last one first. */
const bus = (index: number) => `virtio-mmio-bus.${23 - index}`;
const maxConsole = 4096;

export interface EmulatedMachineOptions {
  /** Path of QEMU. */
  readonly program: string;
  /** Where the machine's relative paths begin. */
  readonly root: string;
  /** Path of the network namespace with the tap. `null`: this process's own. */
  readonly namespace: string | null;
  readonly machine: EmulatedMachine;
}

/** A virtual machine that QEMU emulates, with the devices that Firecracker would give it, and a serial port for vsock. */
export class EmulatedGuest {
  readonly stream: Duplex;
  readonly process: ChildProcess;
  readonly #root: string;
  readonly #control: Duplex;
  readonly #answers: PromiseWithResolvers<object>[] = [];
  #console = "";

  constructor({ program, root, namespace, machine }: EmulatedMachineOptions) {
    this.#root = root;
    const inNetwork = namespace === null ? [] : ["nsenter", `--net=${namespace}`];
    const [first = "", ...args] = [
      ...inNetwork,
      "setpriv",
      "--pdeathsig",
      "KILL",
      program,
      ...commandOf(root, machine),
    ];
    this.process = spawn(first, args, {
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    const [, output, errors, stream, control] = this.process.stdio as unknown as [
      null,
      Readable,
      Readable,
      Duplex,
      Duplex,
    ];
    for (const printed of [output, errors]) {
      printed.on("data", (bytes: Buffer) => {
        this.#console = (this.#console + bytes.toString("latin1")).slice(-maxConsole);
      });
    }
    this.stream = stream;
    this.#control = control;
    for (const one of [stream, control]) one.on("error", () => {});
    const lines = createInterface({ input: control });
    // QEMU's end shows in the process.
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const { return: result, error } = JSON.parse(line) as { return?: object; error?: { desc: string } };
      if (error) this.#answers.shift()?.reject(new Error(error.desc));
      else if (result) this.#answers.shift()?.resolve(result);
    });
    // A failure shows in the next call.
    this.#call("qmp_capabilities").catch(() => {});
  }

  /** What the machine and QEMU printed last. */
  get console(): string {
    return this.#console;
  }

  /** Runs a copy, once QEMU has read its state. */
  async resume(): Promise<void> {
    for (;;) {
      const { status } = (await this.#call("query-status")) as { status?: string };
      if (status !== "inmigrate") break;
    }
    await this.#call("cont");
  }

  async setImage(index: number, path: string): Promise<void> {
    const file = { driver: "file", filename: join(this.#root, path), "node-name": `image${index}`, "read-only": true };
    await this.#call("blockdev-add", file);
    const disk = { driver: "raw", "node-name": `disk${index}`, file: `image${index}`, "read-only": true };
    await this.#call("blockdev-reopen", { options: [disk] });
  }

  async save(path: string): Promise<void> {
    await this.#call("stop");
    await this.#call("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
    await this.#call("migrate", { uri: `exec:cat > '${join(this.#root, path)}'` });
    for (;;) {
      const { status } = (await this.#call("query-migrate")) as { status?: string };
      if (status === "completed") return;
      if (status === "failed") throw new Error("QEMU can't write the machine's state");
    }
  }

  async #call(execute: string, args: object = {}): Promise<object> {
    const answer = Promise.withResolvers<object>();
    this.#answers.push(answer);
    this.#control.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return await answer.promise;
  }
}

function commandOf(root: string, machine: EmulatedMachine): readonly string[] {
  const { kernel, initrd, args, cpus, memoryMib, drives, network, state } = machine;
  const device = (properties: object) => ["-device", JSON.stringify(properties)];
  const node = (properties: object) => ["-blockdev", JSON.stringify(properties)];
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "microvm,acpi=on,usb=off", "-accel", "tcg,tb-size=64", "-cpu", "max"],
    ...["-smp", String(cpus), "-m", `size=${memoryMib}M`],
    // A copy has them in its memory.
    ...(state === null
      ? ["-kernel", join(root, kernel), "-initrd", join(root, initrd), "-append", emulated(args)]
      : []),
    ...["-global", "virtio-mmio.force-legacy=false", "-serial", "stdio"],
    ...["-chardev", `socket,id=control,fd=${controlDescriptor}`, "-mon", "chardev=control,mode=control"],
    ...["-chardev", `socket,id=agent,fd=${agentDescriptor}`],
    ...device({ driver: "virtio-serial-device", id: "ports", max_ports: 2, bus: bus(0) }),
    ...device({ driver: "virtserialport", chardev: "agent", nr: 1 }),
    ...device({ driver: "virtio-rng-device", bus: bus(1) }),
    ...(network
      ? [
          ...["-netdev", `tap,id=net,ifname=${network.tap},script=no,downscript=no`],
          ...device({ driver: "virtio-net-device", netdev: "net", mac: network.mac, bus: bus(2) }),
        ]
      : []),
    ...drives.flatMap(({ path, isReadOnly }, index) => [
      ...node({ driver: "file", filename: join(root, path), "node-name": `file${index}`, "read-only": isReadOnly }),
      ...node({ driver: "raw", "node-name": `disk${index}`, file: `file${index}`, "read-only": isReadOnly }),
      ...device({ driver: "virtio-blk-device", drive: `disk${index}`, bus: bus(3 + index) }),
    ]),
    ...(state === null ? [] : ["-incoming", `exec:cat '${join(root, state)}'`]),
  ];
}

/** Arguments for a kernel that is emulated, whose agent has a serial port in place of vsock. */
function emulated(args: string): string {
  const khz = Math.round(
    Number(/^cpu MHz\s*:\s*([\d.]+)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? 2000) * 1000,
  );
  // Without these most emulated kernels hang while they measure their clocks.
  const clocks = `tsc_early_khz=${khz} tsc=reliable no_timer_check`;
  return args.replace("reboot=k", "reboot=t").replace(/ -- --vsock \d+$/, ` ${clocks} -- --serial /dev/vport0p1`);
}
