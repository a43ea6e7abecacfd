import { closeSync, constants, openSync } from "node:fs";
import { chmod, chown, type FileHandle, mkdir, open, rm, truncate, writeFile } from "node:fs/promises";
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
import type { ShownFile } from "./confine-qemu.ts";
import {
  emptySlotName,
  findTscKhz,
  maxDisks,
  monitorBytes,
  type QemuAccelerator,
  qemuArguments,
  shownPaths,
} from "./qemu-command.ts";
import { findQemuFiles, type QemuFiles } from "./qemu-files.ts";
import { QemuProcess } from "./qemu-process.ts";
import {
  configurationOf,
  readManifest,
  type SnapshotConfiguration,
  snapshotUnusable,
  stateFile,
} from "./qemu-snapshot.ts";
import { QemuVm } from "./qemu-vm.ts";
import { QmpClient } from "./qmp-client.ts";

export interface QemuMonitorOptions {
  /** Absolute path of `qemu-system-x86_64`. */
  readonly program: string;
  readonly accelerator: QemuAccelerator;
  /** Model of an emulated processor. Default: all that QEMU can emulate. */
  readonly processor?: string;
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
/** Name of the directory on which QEMU's root is mounted, in the machine's directory. */
const rootName = "root";
const pollMs = 2;
const versionMs = 10_000;
const statusSchema = z.object({ status: z.string() });
const diskFaultSchema = z.object({ reason: z.string().max(200) });

/** Runs machines with QEMU. */
export class QemuMonitor implements VmMonitor {
  readonly name = "qemu";
  readonly accelerator: QemuAccelerator;
  readonly #options: QemuMonitorOptions;
  /** By the version of QEMU. */
  readonly #files = new Map<string, Promise<QemuFiles>>();

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
    const version = await this.version({ signal });
    const configuration = await configurationOf(plan, { monitor: version, accelerator });
    const manifest = snapshot && (await readManifest(snapshot.dir, configuration));
    const files = await this.#filesOf(version);
    const process = await this.#startProcess(plan, { snapshot, files, configuration, resources });
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

  async #filesOf(version: string): Promise<QemuFiles> {
    const found = this.#files.get(version) ?? findQemuFiles(this.program);
    this.#files.set(version, found);
    try {
      return await found;
    } catch (error) {
      this.#files.delete(version);
      throw error;
    }
  }

  async #startProcess(plan: VmPlan, { snapshot, files, configuration, resources }: StartParts): Promise<QemuProcess> {
    const { accelerator, processor = "max", kvmGroup, ids, cgroups } = this.#options;
    const held = ids && resources.use(ids.take());
    const id = held?.range.base ?? null;
    const emptySlot = join(plan.dir, emptySlotName);
    resources.defer(() => rm(emptySlot, { force: true }));
    await writeFile(emptySlot, "", { mode: 0o644, flag: "wx" });
    await truncate(emptySlot, slotBytes);
    const root = join(plan.dir, rootName);
    resources.defer(() => rm(root, { recursive: true, force: true }));
    await mkdir(root);
    if (id !== null) {
      await chown(plan.dir, id, id);
      await chmod(plan.dir, 0o700);
      for (const disk of plan.disks) if (disk && !disk.readOnly) await chown(disk.path, id, id);
    }
    const limits = { cpus: plan.cpus, memoryBytes: plan.memoryBytes + monitorBytes, pids: monitorThreads };
    const cgroup = await cgroups?.host.create(cgroups.owner, plan.id, limits);
    if (cgroup) resources.defer(() => endCgroup(cgroup));
    const tscKhz = await findTscKhz();
    const options = { accelerator, processor, tscKhz, isCopy: snapshot !== null };
    using disks = openDisks(plan);
    await using state = snapshot && (await openState(snapshot));
    using tap = openTap(plan.network, this.#options.networks);
    return await QemuProcess.start([files.program, ...qemuArguments(plan, options)], {
      confinement: {
        id,
        group: kvmGroup,
        joinFiles: cgroup?.joinFiles ?? [],
        files,
        root,
        shown: shownOf(plan, accelerator),
        maxFileBytes: Math.max(0, ...configuration.disks.map(({ readOnly, bytes }) => (readOnly ? 0 : bytes))),
      },
      snapshot: state ? state.fd : null,
      tap: tap.descriptor,
      disks: disks.descriptors,
    });
  }
}

interface StartParts {
  readonly snapshot: VmSnapshot | null;
  readonly files: QemuFiles;
  readonly configuration: SnapshotConfiguration;
  readonly resources: AsyncDisposableStack;
}

/** What QEMU sees of its machine. Files that are linked into the directory later are seen, too. */
function shownOf({ dir, guest }: VmPlan, accelerator: QemuAccelerator): readonly ShownFile[] {
  return [
    { source: dir, path: shownPaths.directory, kind: "directory" },
    { source: guest.kernel, path: shownPaths.kernel, kind: "file" },
    { source: guest.initrd, path: shownPaths.initrd, kind: "file" },
    ...(accelerator === "kvm" ? [{ source: "/dev/kvm", path: "/dev/kvm", kind: "device" } as const] : []),
  ];
}

/** Opens the disks, whose paths QEMU does not see. */
function openDisks({ disks }: VmPlan): { readonly descriptors: readonly (number | null)[] } & Disposable {
  using opened = new DisposableStack();
  const descriptors = disks.map((disk) => {
    if (disk === null) return null;
    const access = disk.readOnly ? constants.O_RDONLY : constants.O_RDWR;
    // Without waiting: a path may name a pipe.
    return opened.adopt(openSync(disk.path, access | constants.O_NONBLOCK), closeSync);
  });
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
