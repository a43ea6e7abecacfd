import { readFile } from "node:fs/promises";
import { quickBootArguments } from "../quick-boot.ts";
import type { VmPlan } from "../vm-monitor.ts";

export type QemuAccelerator = "tcg" | "kvm";

/** Descriptors that QEMU inherits. The first three are the usual ones. */
const descriptors = { control: 3, console: 4, agent: 5, snapshot: 6, tap: 7 } as const;
const firstDisk = 8;

/** Where QEMU sees the machine's files. It sees none of the host's other files. */
export const shownPaths = { directory: "/machine", kernel: "/kernel", initrd: "/initrd" } as const;

/** Path of a file in the machine's directory, for QEMU. */
export const inDirectory = (name: string): string => `${shownPaths.directory}/${name}`;

/** Name by which QEMU opens the descriptor of a disk, which it has no path for. */
const diskFile = (index: number): string => `/dev/fdset/${firstDisk + index}`;

/** Name of the sparse file that an empty slot shows, in the machine's directory. */
export const emptySlotName = "empty";

/** Memory that QEMU itself needs: the kernel's file, translated code, buffers. */
export const monitorBytes = 256 * 2 ** 20;

/** The machine has 24 places for devices. */
const lastBus = 23;

/** Megabytes of translated code. QEMU's default is a quarter of the host's memory. */
const translationMegabytes = 64;

export interface QemuCommandOptions {
  readonly accelerator: QemuAccelerator;
  /** Model of an emulated processor. */
  readonly processor: string;
  /** Frequency of the host's TSC, which a guest under TCG reads. */
  readonly tscKhz: number;
  /** Whether the machine's state comes from the descriptor `snapshot`. */
  readonly isCopy: boolean;
}

/** A fault of a disk's file stops the machine and is an event. The monitor then ends the machine. */
const diskFaults = { werror: "stop", rerror: "stop" };

/** Arguments of QEMU for a machine. */
export function qemuArguments(vm: VmPlan, options: QemuCommandOptions): readonly string[] {
  const { accelerator, processor, isCopy } = options;
  // The guest finds the device on the last bus first. It names disks and the agent's port by this order.
  const bus = (index: number) => `virtio-mmio-bus.${lastBus - index}`;
  const device = (properties: object) => ["-device", JSON.stringify(properties)];
  const socket = (id: string, descriptor: number) => ["-chardev", `socket,id=${id},fd=${descriptor}`];
  const disks = vm.disks.flatMap((disk, index) => {
    const readOnly = disk?.readOnly ?? true;
    const path = disk ? diskFile(index) : inDirectory(emptySlotName);
    const descriptor = firstDisk + index;
    return [
      ...(disk ? ["-add-fd", `fd=${descriptor},set=${descriptor}`] : []),
      ...["-blockdev", JSON.stringify(fileNode(fileName(index, 0), path, readOnly))],
      ...["-blockdev", JSON.stringify(diskNode(index, fileName(index, 0), readOnly))],
      ...device({ driver: "virtio-blk-device", drive: diskName(index), bus: bus(3 + index), ...diskFaults }),
    ];
  });
  const network = vm.network && [
    ...["-netdev", `tap,id=net,fd=${descriptors.tap},vhost=off`],
    ...device({ driver: "virtio-net-device", netdev: "net", mac: vm.network.macAddress, bus: bus(2) }),
  ];
  return [
    ...["-name", `guest=${vm.id}`],
    "-nodefaults",
    "-no-user-config",
    ...["-display", "none"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // The smallest machine that QEMU has: no PCI, no graphics, no disk controllers.
    ...["-machine", "microvm,acpi=on,usb=off,dump-guest-core=off"],
    ...["-accel", accelerator === "tcg" ? `tcg,tb-size=${translationMegabytes}` : "kvm"],
    ...["-cpu", accelerator === "tcg" ? processor : "host"],
    ...["-smp", String(vm.cpus)],
    ...["-m", `size=${Math.floor(vm.memoryBytes / 2 ** 20)}M`],
    ...["-kernel", shownPaths.kernel],
    ...["-initrd", shownPaths.initrd],
    ...["-append", kernelArguments(options)],
    // A guest that restarts or panics has ended.
    "-no-reboot",
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...socket("control", descriptors.control),
    ...["-mon", "chardev=control,mode=control"],
    ...socket("console", descriptors.console),
    ...["-serial", "chardev:console"],
    ...socket("agent", descriptors.agent),
    ...device({ driver: "virtio-serial-device", id: "ports", max_ports: 2, bus: bus(0) }),
    ...device({ driver: "virtserialport", chardev: "agent", nr: 1 }),
    ...device({ driver: "virtio-rng-device", bus: bus(1) }),
    ...(network ?? []),
    ...disks,
    ...(isCopy ? ["-incoming", `fd:${descriptors.snapshot}`] : []),
  ];
}

/** Number of disks for which the machine has places beside its other devices. */
export const maxDisks = 20;

export const diskName = (index: number): string => `disk${index}`;

/** Name of the file that a disk shows. Each attached image gets the next number. */
export const fileName = (index: number, number: number): string => `disk${index}-file${number}`;

export function fileNode(name: string, path: string, readOnly: boolean): object {
  return { driver: "file", "node-name": name, filename: path, "read-only": readOnly };
}

export function diskNode(index: number, file: string, readOnly: boolean): object {
  return { driver: "raw", "node-name": diskName(index), file, "read-only": readOnly };
}

function kernelArguments({ accelerator, tscKhz }: QemuCommandOptions): string {
  // Without these most boots under TCG hang while the kernel measures its clocks.
  const clocks = [`tsc_early_khz=${tscKhz}`, "tsc=reliable", "no_timer_check"];
  const kernel = ["quiet", "console=ttyS0", "8250.nr_uarts=1", "oops=panic", "panic=-1", "reboot=t"];
  return [
    ...kernel,
    ...quickBootArguments,
    ...(accelerator === "tcg" ? clocks : []),
    "--",
    "--serial",
    "/dev/vport0p1",
  ].join(" ");
}

/** Finds the frequency of this machine's TSC, as well as it can be known without reading it. */
export async function findTscKhz(): Promise<number> {
  const text = await readFile("/proc/cpuinfo", "utf8");
  const [, current] = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(text) ?? [];
  const [, nominal] = /^model name.*@ ([\d.]+)GHz$/m.exec(text) ?? [];
  // Under a hypervisor the current frequency is the TSC's. Otherwise it changes with the load.
  const isVirtual = /^flags.*\bhypervisor\b/m.test(text);
  const megahertz = isVirtual || nominal === undefined ? Number(current ?? 2000) : Number(nominal) * 1000;
  return Math.round(megahertz * 1000);
}
