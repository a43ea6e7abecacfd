import { runtimeFailed } from "../../contract/errors.ts";
import { maximumVmCpus } from "./maximum-vm-cpus.ts";
import type { VmPlan } from "./vm-monitor.ts";

const mebibyte = 2 ** 20;
/** Leaves room for a socket's name: the kernel takes 107 bytes. */
const maxPathBytes = 90;

/**
 * Checks what neither monitor checks, or only QEMU or only Firecracker does.
 * @throws {AirlockError} reason `runtime`
 */
export function checkVmPlan(vm: VmPlan, maxDisks: number): void {
  const problem = problemOf(vm, maxDisks);
  if (problem !== undefined) throw runtimeFailed(`the virtual machine ${JSON.stringify(vm.id)} ${problem}`);
}

function problemOf({ id, dir, cpus, memoryBytes, disks, network }: VmPlan, maxDisks: number): string | undefined {
  if (!/^[a-z0-9-]{1,60}$/.test(id)) return "has an id that is not [a-z0-9-], 1 to 60 characters";
  if (!dir.startsWith("/") || Buffer.byteLength(dir) > maxPathBytes)
    return `has a directory longer than ${maxPathBytes} bytes`;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > maximumVmCpus) {
    return `has ${cpus} processors instead of 1 to ${maximumVmCpus}`;
  }
  if (!(memoryBytes >= 128 * mebibyte && memoryBytes <= 2 ** 40))
    return `has ${memoryBytes} bytes of memory, not 128 MiB to 1 TiB`;
  if (disks.length > maxDisks) return `has ${disks.length} disks, more than ${maxDisks}`;
  if (network === null) return undefined;
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(network.tap)) return "has a tap whose name is not one of a network device";
  if (!/^02(:[0-9a-f]{2}){5}$/.test(network.macAddress)) return "has a MAC address that is not 02:xx:xx:xx:xx:xx";
  return undefined;
}
