import { closeSync, constants, openSync } from "node:fs";
import { chmod, chown, type FileHandle, open, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onAbort, pause, startDeadline } from "@airlock/async";
import { outputOf, systemEnvironment } from "@airlock/process";
import { z } from "zod";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../../../host/cgroups/end-cgroup.ts";
import type { IdRanges } from "../../../host/id-ranges.ts";
import type { NetworkCalls } from "../../../host/network-calls.ts";
import { checkVmPlan } from "../check-vm-plan.ts";
import { type RunningVm, slotBytes, type VmMonitor, type VmPlan, type VmSnapshot } from "../vm-monitor.ts";
import {
  emptySlotName,
  findTscKhz,
  maxDisks,
  monitorBytes,
  type QemuAccelerator,
  qemuArguments,
} from "./qemu-command.ts";
import { QemuProcess } from "./qemu-process.ts";
import { configurationOf, readManifest, snapshotUnusable, stateFile } from "./qemu-snapshot.ts";
import { QemuVm } from "./qemu-vm.ts";
import { QmpClient } from "./qmp-client.ts";

export interface QemuMonitorOptions {
  /** Absolute path of `qemu-system-x86_64`. */
  readonly program: string;
  readonly accelerator: QemuAccelerator;
  /** Group that may open `/dev/kvm`. `null`: everyone may, or KVM is not used. */
  readonly kvmGroup: number | null;
  /** Where each machine's user comes from. `null`: this process is not root, and the machines share its user. */
  readonly ids: IdRanges | null;
  /** `null`: machines have no network. */
  readonly networks: NetworkCalls | null;
  /** `null`: QEMU runs without a cgroup, as where this process may not make one. */
  readonly cgroups: { readonly host: CgroupHost; readonly owner: string } | null;
}

/** Threads of QEMU: one per processor, and its pool for disks. */
const monitorThreads = 96;
const pollMs = 2;
const versionMs = 10_000;
const statusSchema = z.object({ status: z.string() });
const diskFaultSchema = z.object({ reason: z.string().max(200) });

/** Runs machines with QEMU. */
export class QemuMonitor implements VmMonitor {
  readonly name = "qemu";
  readonly accelerator: QemuAccelerator;
  readonly #options: QemuMonitorOptions;

  constructor(options: QemuMonitorOptions) {
    this.#options = options;
    this.accelerator = options.accelerator;
  }

  get program(): string {
    return this.#options.program;
  }

  of(owner: string): QemuMonitor {
    const { cgroups } = this.#options;
    return new QemuMonitor({ ...this.#options, cgroups: cgroups && { ...cgroups, owner } });
  }

  async version({ signal }: Abortable): Promise<string> {
    const { program } = this.#options;
    const printed = await outputOf([program, "--version"], { env: systemEnvironment, signal, timeoutMs: versionMs });
    const [, version] = /version (.*)$/m.exec(printed) ?? [];
    if (version === undefined) throw runtimeFailed(`${program} does not print its version`);
    return version;
  }

  async boot(vm: VmPlan, options: Abortable): Promise<RunningVm> {
    return await this.#start(vm, null, options);
  }

  async restore(snapshot: VmSnapshot, vm: VmPlan, options: Abortable): Promise<RunningVm> {
    return await this.#start(vm, snapshot, options);
  }

  async #start(plan: VmPlan, snapshot: VmSnapshot | null, { signal: outer }: Abortable): Promise<RunningVm> {
    outer.throwIfAborted();
    checkVmPlan(plan, maxDisks);
    const what = snapshot ? "the copied guest did not start" : "the guest's agent did not connect";
    const late = () => runtimeFailed(`${what} within ${plan.bootMs} ms`);
    using deadline = startDeadline(plan.bootMs, late, outer);
    const { signal } = deadline;
    await using resources = new AsyncDisposableStack();
    const { accelerator } = this.#options;
    const configuration = await configurationOf(plan, { monitor: await this.version({ signal }), accelerator });
    const manifest = snapshot && (await readManifest(snapshot.dir, configuration));
    const process = await this.#startProcess(plan, snapshot, resources);
    const control = new QmpClient(process.control, (name, data) => endAtDiskFault(process, name, data));
    resources.defer(async () => {
      process.kill();
      await process.ended;
    });
    try {
      if (snapshot && manifest) {
        await control.start(signal);
        await untilLoaded(control, signal);
        process.agent.unshift(Buffer.from(manifest.greeting, "base64"));
        await control.call("cont", {}, signal);
      } else {
        await firstBytes(process, signal);
        await control.start(signal);
      }
    } catch (error) {
      outer.throwIfAborted();
      process.kill();
      const { exitCode, console, cause } = await process.ended;
      if (snapshot && !signal.aborted) throw snapshotUnusable(snapshot.dir, process.words || String(exitCode), error);
      const details = [cause, process.words, console].filter(Boolean).join("\n");
      throw runtimeFailed(`${signal.aborted ? late().message : what}${details && `: ${details}`}`, error);
    }
    return new QemuVm({ plan, process, control, configuration, resources: resources.move() });
  }

  async #startProcess(plan: VmPlan, snapshot: VmSnapshot | null, resources: AsyncDisposableStack) {
    const { program, accelerator, kvmGroup, ids, cgroups } = this.#options;
    const held = ids && resources.use(ids.take());
    const id = held?.range.base ?? null;
    const emptySlot = join(plan.dir, emptySlotName);
    resources.defer(() => rm(emptySlot, { force: true }));
    await writeFile(emptySlot, "", { mode: 0o644, flag: "wx" });
    await truncate(emptySlot, slotBytes);
    if (id !== null) {
      await chown(plan.dir, id, id);
      await chmod(plan.dir, 0o700);
      for (const disk of plan.disks) if (disk && !disk.readOnly) await chown(disk.path, id, id);
    }
    const limits = { cpus: plan.cpus, memoryBytes: plan.memoryBytes + monitorBytes, pids: monitorThreads };
    const cgroup = await cgroups?.host.create(cgroups.owner, plan.id, limits);
    if (cgroup) resources.defer(() => endCgroup(cgroup));
    const tscKhz = await findTscKhz();
    const options = { accelerator, tscKhz, isCopy: snapshot !== null };
    using files = openFiles(plan);
    await using state = snapshot && (await openState(snapshot));
    using tap = openTap(plan.network, this.#options.networks);
    return await QemuProcess.start([program, ...qemuArguments(plan, options)], {
      confinement: { id, group: kvmGroup, joinFiles: cgroup?.joinFiles ?? [] },
      snapshot: state ? state.fd : null,
      tap: tap.descriptor,
      files: files.descriptors,
    });
  }
}

/** Opens what QEMU's user can't reach by its path. */
function openFiles({ dir, guest, disks }: VmPlan): { readonly descriptors: readonly (number | null)[] } & Disposable {
  using opened = new DisposableStack();
  // Without waiting: a path may name a pipe.
  const openIt = (path: string) => opened.adopt(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), closeSync);
  const fixed = [dir, guest.kernel, guest.initrd].map(openIt);
  const descriptors = [...fixed, ...disks.map((disk) => disk && openIt(disk.path))];
  const kept = opened.move();
  return { descriptors, [Symbol.dispose]: () => kept.dispose() };
}

/** Another executor may have removed the snapshot since its description was read. */
async function openState({ dir }: VmSnapshot): Promise<FileHandle> {
  try {
    return await open(stateFile(dir));
  } catch (error) {
    throw snapshotUnusable(dir, "its state can't be read", error);
  }
}

/**
 * Ends a machine whose disk's file can't be read or written, which is a fault of this host. QEMU has stopped it then.
 * With an error in its place, a step could go on with wrong data, or fail as if by its own fault.
 */
function endAtDiskFault(process: QemuProcess, name: string, data: unknown): void {
  if (name !== "BLOCK_IO_ERROR") return;
  const { reason } = diskFaultSchema.catch({ reason: "unknown" }).parse(data);
  process.fail(`a disk of the machine failed on its host: ${reason.replace(/[^ -~]/g, "?")}`);
}

/** Opens the machine's tap. QEMU inherits it, so QEMU itself can reach no network. */
function openTap(
  network: VmPlan["network"],
  calls: NetworkCalls | null,
): { readonly descriptor: number | null } & Disposable {
  if (network === null) return { descriptor: null, [Symbol.dispose]: () => {} };
  if (calls === null) throw runtimeFailed("the executor can't give a machine a network: it is not root");
  try {
    const namespace = openSync(network.namespace, "r");
    try {
      const descriptor = calls.openTap(namespace, network.tap);
      return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
    } finally {
      closeSync(namespace);
    }
  } catch (error) {
    throw runtimeFailed(`the machine's network device ${network.tap} can't be opened`, error);
  }
}

/** Waits for the agent's first bytes and leaves them in the stream. */
async function firstBytes(process: QemuProcess, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // The signal may have been aborted while QEMU was started.
  using _ = onAbort(signal, () => reject(signal.reason));
  const gone = () => reject(runtimeFailed("QEMU has ended"));
  process.agent.on("readable", resolve);
  process.agent.once("end", gone).once("close", gone);
  try {
    await Promise.race([promise, process.ended.then(gone)]);
    await promise;
  } finally {
    process.agent.off("readable", resolve).off("end", gone).off("close", gone);
  }
}

async function untilLoaded(control: QmpClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { status } = statusSchema.parse(await control.call("query-status", {}, signal));
    if (status !== "inmigrate") return;
    await pause(pollMs, signal);
  }
}
