import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { runtimeFailed } from "../../../contract/errors.ts";
import { CgroupGuard } from "../../../host/cgroups/cgroup-guard.ts";
import { endCgroup } from "../../../host/cgroups/end-cgroup.ts";
import { removeTree } from "../../../host/remove-tree.ts";
import type { VmNetwork, VmPlan } from "../vm-monitor.ts";
import type { Enclosure } from "./enclosure.ts";
import type { JailerOptions } from "./firecracker-options.ts";
import { files } from "./machine-requests.ts";

/** Id within the machine's own directory and cgroup, so it is short: the path of a socket has at most 107 bytes. */
const jailId = "vm";
/** Memory of the monitor itself, beside the guest's. */
const monitorBytes = 128 * 2 ** 20;
/** Threads of the monitor, beside one for each processor of the guest. */
const monitorThreads = 8;
/** Open files of the monitor: disks, sockets, the tap, KVM. */
const maxOpenFiles = 1024;

/** The jailer makes `BASE/PROGRAM/ID/root`, with the last part of the program's path. */
const rootOfJail = (vm: VmPlan, program: string): string => join(vm.dir, basename(program), jailId, "root");

/** Makes the root directory and the cgroup for Firecracker's jailer, and takes a user id. */
export async function openJail(vm: VmPlan, program: string, jailer: JailerOptions): Promise<Enclosure> {
  const { cgroups, owner } = jailer;
  if (cgroups.mode === "none") {
    throw runtimeFailed("the jailer needs cgroups", undefined, cgroups.problem ?? undefined);
  }
  const memoryBytes = vm.memoryBytes + monitorBytes;
  const pids = vm.cpus + monitorThreads;
  await using stack = new AsyncDisposableStack();
  const user = stack.use(jailer.ids.take()).range.base;
  // Registered first: a part of it may exist when an error ends the rest.
  stack.defer(() => removeJail(vm, program, jailer));
  const cgroup = await cgroups.create(owner, vm.id, { cpus: vm.cpus, memoryBytes, pids });
  // Unlike QEMU, a jailed Firecracker is no child of the executor, so its death would leave the machine running.
  if (cgroup) stack.use(new CgroupGuard(cgroup));
  if (vm.network) giveTap(vm.network, user, jailer);
  const root = rootOfJail(vm, program);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const held = stack.move();
  return {
    root,
    user,
    command: (network) => [
      jailer.program,
      ...["--id", jailId, "--exec-file", program, "--uid", String(user), "--gid", String(user)],
      ...["--chroot-base-dir", vm.dir, "--new-pid-ns", "--resource-limit", `no-file=${maxOpenFiles}`],
      ...cgroupArguments(jailer, vm.id, { memoryBytes, pids }),
      ...namespaceArguments(network),
      ...["--", "--api-sock", files.api, "--level", "Warn"],
    ],
    kill: () => cgroups.open(owner, vm.id).kill(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Without an owner, every user could open the tap. */
function giveTap({ namespace, tap }: VmNetwork, user: number, { networks }: JailerOptions): void {
  if (networks === null) throw runtimeFailed("the executor can't give a machine a network: it has no system calls");
  const descriptor = openSync(namespace, "r");
  try {
    networks.giveTap(descriptor, tap, user);
  } catch (error) {
    throw runtimeFailed(`the machine's network device ${tap} can't be given to its user`, error);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Ends what runs in a machine's jail, and removes the cgroup, the root directory and its sockets. The jailer leaves
 * all of them. Also for a machine of an executor that was killed.
 */
export async function removeJail(
  { id, dir }: Pick<VmPlan, "id" | "dir">,
  program: string,
  { cgroups, owner }: Pick<JailerOptions, "cgroups" | "owner">,
): Promise<void> {
  await endCgroup(cgroups.open(owner, id));
  await removeTree(join(dir, basename(program)));
}

/**
 * Puts the process into a cgroup below the one that has the limits. The jailer joins only hierarchies of which it sets
 * a file, and it sets the same or weaker limits there.
 */
function cgroupArguments(
  { cgroups, owner }: JailerOptions,
  id: string,
  { memoryBytes, pids }: { readonly memoryBytes: number; readonly pids: number },
): readonly string[] {
  const { mode, enforces } = cgroups;
  const isV1 = mode === "v1";
  const values = [
    ...(enforces.memory ? [`${isV1 ? "memory.limit_in_bytes" : "memory.max"}=${memoryBytes}`] : []),
    ...(enforces.cpu ? [isV1 ? "cpu.shares=1024" : "cpu.weight=100"] : []),
    ...(enforces.pids ? [`pids.max=${pids}`] : []),
  ];
  const version = ["--cgroup-version", isV1 ? "1" : "2"];
  return [...version, "--parent-cgroup", `airlock/${owner}/${id}`, ...values.flatMap((value) => ["--cgroup", value])];
}

function namespaceArguments(network: VmNetwork | null): readonly string[] {
  return network ? ["--netns", network.namespace] : [];
}
