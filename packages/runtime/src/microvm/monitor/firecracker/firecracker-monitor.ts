import { join } from "node:path";
import { errorMessage } from "@airlock/job";
import { outputOf } from "@airlock/process";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import { type RunningVm, slotBytes, type VmDisk, type VmMonitor, type VmPlan, type VmSnapshot } from "../vm-monitor.ts";
import type { FirecrackerApi } from "./api-client.ts";
import { checkMachine, checkTap } from "./check-machine.ts";
import type { Enclosure } from "./enclosure.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { files, interfaceId, machineRequests } from "./machine-requests.ts";
import { printable } from "./monitor-output.ts";
import { RunningFirecracker } from "./running-firecracker.ts";
import { makeEmptySlot, shareFile } from "./share-file.ts";
import { checkRecord, recordOf, snapshotUnusable } from "./snapshot-record.ts";
import { startMachine } from "./start-machine.ts";

/** Runs each virtual machine in its own Firecracker process, in the jail that Firecracker's jailer makes. */
export class FirecrackerMonitor implements VmMonitor {
  readonly name = "firecracker";
  readonly accelerator = "kvm";
  readonly #options: FirecrackerOptions;

  constructor(options: FirecrackerOptions) {
    this.#options = options;
  }

  of(owner: string): FirecrackerMonitor {
    const { jailer } = this.#options;
    return new FirecrackerMonitor({ ...this.#options, jailer: jailer === "none" ? jailer : { ...jailer, owner } });
  }

  get program(): string {
    return this.#options.program;
  }

  async version({ signal }: Abortable): Promise<string> {
    const text = await outputOf([this.#options.program, "--version"], { signal, timeoutMs: 10_000 });
    const version = /^Firecracker v(\S+)/m.exec(text)?.[1];
    if (version === undefined) {
      const said = printable(text.slice(0, 200)).trim();
      throw runtimeFailed(`${this.#options.program} is not Firecracker: --version prints "${said}"`);
    }
    return version;
  }

  async boot(vm: VmPlan, { signal }: Abortable): Promise<RunningVm> {
    await this.#check(vm, signal);
    const share = async (enclosure: Enclosure) => {
      await shareFile(enclosure, vm.guest.kernel, files.kernel, "read");
      await shareFile(enclosure, vm.guest.initrd, files.initrd, "read");
    };
    const start = async (api: FirecrackerApi, options: Abortable) => {
      const requests = machineRequests(vm, this.#options);
      await api.putMachineConfig(requests.machine, options);
      await api.putBootSource(requests.boot, options);
      for (const drive of requests.drives) await api.putDrive(drive, options);
      if (requests.network) await api.putNetworkInterface(requests.network, options);
      await api.putVsock(requests.vsock, options);
      await api.putEntropy(options);
      await api.putBalloon(requests.balloon, options);
      await api.startInstance(options);
    };
    return await this.#start(vm, { share, start, signal });
  }

  async restore(snapshot: VmSnapshot, vm: VmPlan, { signal }: Abortable): Promise<RunningVm> {
    await this.#check(vm, signal);
    await checkRecord(snapshot.dir, recordOf(vm, this.#options, await this.version({ signal })));
    const share = async (enclosure: Enclosure) => {
      await shareFile(enclosure, join(snapshot.dir, files.state), files.state, "read");
      await shareFile(enclosure, join(snapshot.dir, files.memory), files.memory, "read");
    };
    const start = (api: FirecrackerApi, options: Abortable) =>
      api.loadSnapshot(
        {
          snapshot_path: files.state,
          mem_backend: { backend_type: "File", backend_path: files.memory },
          resume_vm: true,
          network_overrides: vm.network ? [{ iface_id: interfaceId, host_dev_name: vm.network.tap }] : [],
          vsock_override: { uds_path: files.vsock },
        },
        options,
      );
    try {
      return await this.#start(vm, { share, start, signal });
    } catch (error) {
      signal.throwIfAborted();
      // Otherwise every job would fail at the same snapshot. If the machine itself is at fault, its boot will tell.
      throw snapshotUnusable(snapshot.dir, errorMessage(error), error);
    }
  }

  async #check(vm: VmPlan, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    checkMachine(vm, this.#options);
    if (vm.network) await checkTap(vm.network, { signal });
  }

  async #shareDisk(enclosure: Enclosure, index: number, disk: VmDisk | null): Promise<void> {
    if (disk === null) await makeEmptySlot(enclosure, files.disk(index), slotBytes);
    else await shareFile(enclosure, disk.path, files.disk(index), disk.readOnly ? "read" : "own");
  }

  async #start(
    vm: VmPlan,
    {
      share,
      start,
      signal,
    }: {
      readonly share: (enclosure: Enclosure) => Promise<void>;
      readonly start: (api: FirecrackerApi, options: Abortable) => Promise<void>;
      readonly signal: AbortSignal;
    },
  ): Promise<RunningVm> {
    const shareAll = async (enclosure: Enclosure) => {
      await share(enclosure);
      for (const [index, disk] of vm.disks.entries()) await this.#shareDisk(enclosure, index, disk);
    };
    const machine = await startMachine(vm, this.#options, { share: shareAll, start, signal });
    return new RunningFirecracker(machine, {
      vm,
      record: async (options) => recordOf(vm, this.#options, await this.version(options)),
    });
  }
}
