import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { bootBareGuest, makeBareInitrd } from "./bare-guest.ts";
import { machineBytes, openMicrovmWorld, runStep } from "./microvm-world.ts";

/**
 * Time from nothing to a sandbox whose agent has answered, and to the first step's output, without a snapshot. Floor:
 * the same kernel in the same QEMU, with an init that prints and powers off.
 */
export async function microvmBoot(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  await using cleanup = new AsyncDisposableStack();
  options.progress("building the guest");
  const world = cleanup.use(await openMicrovmWorld());
  const { qemu, kernel, directory } = world;
  const initrd = await makeBareInitrd(directory, "powers off");
  const times = { booted: 0, stepped: 0 };
  const samples = await runPaired(
    [
      {
        name: "bare kernel",
        run: async () => {
          await using guest = await bootBareGuest({ qemu, kernel, initrd, memoryBytes: machineBytes });
          return guest.ms;
        },
      },
      {
        name: "boot to sandbox",
        run: async (round) => {
          // A runtime of its own has no snapshot.
          const runtime = await world.open(`boot${round}`);
          try {
            const startedAt = performance.now();
            await using sandbox = await world.createSandbox(runtime);
            times.booted = performance.now() - startedAt;
            await runStep(sandbox);
            times.stepped = performance.now() - startedAt;
          } finally {
            await runtime.close();
          }
          return times.booted;
        },
      },
      { name: "boot to a step's output", run: async () => times.stepped },
    ],
    { rounds, warmup: 1, progress: options.progress },
  );
  return {
    bench: "microvm-boot: a virtual machine without a snapshot",
    rounds,
    samples,
    comparisons: [
      compare(samples, "boot to sandbox", "bare kernel", 1.2),
      compare(samples, "boot to a step's output", "bare kernel", null),
    ],
    notes: [
      "`bare kernel`: from the start of QEMU to the first output of a static init, without disks and modules.",
      "`boot to sandbox`: until the guest's agent has mounted the workspace. The step adds the image's disk, and runs beside the boot that makes the snapshot.",
    ],
  };
}
