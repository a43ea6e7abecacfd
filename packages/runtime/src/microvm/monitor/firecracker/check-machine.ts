import { totalmem } from "node:os";
import { basename } from "node:path";
import { formatBytes } from "@airlock/job";
import { outputOf } from "@airlock/process";
import { z } from "zod";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import { checkVmPlan } from "../check-vm-plan.ts";
import type { VmNetwork, VmPlan } from "../vm-monitor.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { bootArgs } from "./machine-requests.ts";

const mebibyte = 2 ** 20;
/** The agent addresses 26 disks. */
const maxDisks = 26;
/** Firecracker's limit of the kernel's command line, including what it adds for each device. */
const maxBootArgBytes = 2048;

/**
 * Checks what Firecracker accepts without a word, or refuses in words that name no setting.
 * @throws {AirlockError} reason `runtime`.
 */
export function checkMachine(vm: VmPlan, options: FirecrackerOptions): void {
  checkVmPlan(vm, maxDisks);
  const problem = problemOf(vm, options);
  if (problem !== null) throw runtimeFailed(`the virtual machine "${vm.id}" can't be started: ${problem}`);
}

function problemOf(vm: VmPlan, options: FirecrackerOptions): string | null {
  if (vm.memoryBytes % mebibyte !== 0) return "its memory must be a whole number of MiB";
  if (vm.memoryBytes > totalmem()) {
    return `it needs ${formatBytes(vm.memoryBytes)} of memory, but this machine has ${formatBytes(totalmem())}`;
  }
  for (const [name, bytes] of Object.entries(options.bandwidth ?? {})) {
    const isLimit = Number.isInteger(bytes) && bytes >= 1;
    if (bytes !== null && !isLimit) return `its ${name} bandwidth must be a whole number above 0`;
  }
  if (Buffer.byteLength(bootArgs(options)) >= maxBootArgBytes) {
    return `the arguments of its kernel must have fewer than ${maxBootArgBytes} bytes`;
  }
  if (options.jailer !== "none" && !basename(options.program).includes("firecracker")) {
    return `the jailer needs a program whose name contains "firecracker", not ${options.program}`;
  }
  return null;
}

const Links = z.array(
  z.object({ linkinfo: z.object({ info_kind: z.string(), info_data: z.object({ type: z.string() }).optional() }) }),
);

/**
 * Checks that the tap exists in its namespace. Firecracker, as root, would create a missing one, and the guest would
 * have a network device that leads nowhere.
 */
export async function checkTap({ namespace, tap }: VmNetwork, { signal }: Abortable): Promise<void> {
  const show = ["nsenter", `--net=${namespace}`, "ip", "-details", "-json", "link", "show", "dev", tap];
  let text: string;
  try {
    text = await outputOf(show, { signal, timeoutMs: 10_000 });
  } catch (cause) {
    signal.throwIfAborted();
    throw runtimeFailed(`the network namespace ${namespace} has no tap "${tap}"`, cause);
  }
  const links = Links.safeParse(JSON.parse(text));
  const info = links.success ? links.data[0]?.linkinfo : undefined;
  if (info?.info_kind !== "tun" || info.info_data?.type !== "tap") {
    throw runtimeFailed(`"${tap}" in the network namespace ${namespace} is not a tap`);
  }
}
