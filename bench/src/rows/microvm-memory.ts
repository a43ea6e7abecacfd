import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { bootBareGuest, makeBareInitrd } from "./bare-guest.ts";
import { egress, limits, machineBytes, machinesOf, openMicrovmWorld, pssOf, untilReady } from "./microvm-world.ts";

const waiting = 3;

/**
 * Proportional set size of each machine that waits for a job. Floor: the same kernel in the same QEMU, booted, with an
 * init that waits.
 */
export async function microvmMemory(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 3;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting machines");
  const world = cleanup.use(await openMicrovmWorld());
  const { qemu, kernel, directory, owner } = world;
  const runtime = await world.open("memory");
  cleanup.defer(() => runtime.close());
  const initrd = await makeBareInitrd(directory, "waits");
  const samples = await runPaired(
    [
      {
        name: "bare kernel",
        run: async () => {
          await using guest = await bootBareGuest({ qemu, kernel, initrd, memoryBytes: machineBytes });
          return pssOf(guest.pid);
        },
      },
      {
        name: "waiting machine",
        run: async () => {
          const like = { limits, egress };
          await using ready = runtime.keepReady?.({ owner, count: waiting, like }) ?? null;
          if (!ready) throw new Error("this runtime keeps no machines ready");
          await untilReady(ready, waiting);
          const machines = machinesOf(owner).map(pssOf);
          return machines.reduce((sum, megabytes) => sum + megabytes, 0) / machines.length;
        },
      },
    ],
    { rounds, warmup: 0, progress: options.progress },
  );
  return {
    bench: `microvm-memory: PSS of each of ${waiting} machines that wait`,
    unit: "MB",
    rounds,
    samples,
    comparisons: [compare(samples, "waiting machine", "bare kernel", 1)],
    notes: [`Machines with ${machineBytes / 2 ** 20} MiB. The rest of a job's memory limit costs 2 % of it.`],
  };
}
