import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { VmPlan } from "../vm-monitor.ts";
import type { Enclosure } from "./enclosure.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { openJail } from "./jail.ts";
import { files } from "./machine-requests.ts";

/** Makes a place for a machine's monitor. Disposing ends what runs in it, and removes all that was left. */
export async function openEnclosure(vm: VmPlan, options: FirecrackerOptions): Promise<Enclosure> {
  return options.jailer === "none"
    ? await openDirectory(vm, options.program)
    : await openJail(vm, options.program, options.jailer);
}

async function openDirectory(vm: VmPlan, program: string): Promise<Enclosure> {
  const root = join(vm.dir, "root");
  await mkdir(root, { mode: 0o700 });
  return {
    root,
    user: null,
    command: (network) => [
      ...(network ? ["nsenter", `--net=${network.namespace}`] : []),
      ...[program, "--id", vm.id, "--api-sock", files.api, "--level", "Warn"],
    ],
    kill: async () => {},
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}
