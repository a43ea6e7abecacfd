import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable } from "../contract/abortable.ts";
import { loadNetworkCalls } from "../host/network-calls.ts";
import { removeTree } from "../host/remove-tree.ts";
import { GuestAgent } from "./guest/guest-agent.ts";
import type { GuestFiles, VmMonitor } from "./monitor/vm-monitor.ts";
import { openUnconnectedTap } from "./vm-networks.ts";

export interface ProbeOptions extends Abortable {
  readonly guest: GuestFiles;
  /** An existing directory in which the probe makes its own. */
  readonly directory: string;
}

const memoryBytes = 256 * 2 ** 20;
/** A processor boots in a second. A monitor that takes much longer does not run the processor's instructions. */
const bootMs = { kvm: 20_000, tcg: 120_000 } as const;

/**
 * Boots a guest with the devices of a job's machine, and talks to its agent.
 * @throws {AirlockError} reason `runtime` when the monitor can't run it.
 */
export async function probeMonitor(monitor: VmMonitor, { guest, directory, signal }: ProbeOptions): Promise<void> {
  const name = randomBytes(6).toString("hex");
  const dir = join(directory, name);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeTree(dir));
  await mkdir(dir, { mode: 0o700 });
  const network = undo.use(await probeNetwork());
  const vm = undo.use(
    await monitor.boot(
      {
        id: `probe-${name}`,
        dir,
        guest,
        cpus: 1,
        memoryBytes,
        disks: [null],
        network,
        bootMs: bootMs[monitor.accelerator],
      },
      { signal },
    ),
  );
  const agent = undo.use(await GuestAgent.connect(vm.stream, { signal, seed: randomBytes(32), time: new Date() }));
  await agent.stats(signal);
}

/** `null` on machines without taps. Their jobs have no network, which the runtime reports. */
async function probeNetwork() {
  try {
    return await openUnconnectedTap(await loadNetworkCalls());
  } catch {
    return null;
  }
}
