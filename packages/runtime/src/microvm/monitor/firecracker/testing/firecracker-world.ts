import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GuestKind, standInDisk, standInFirecracker, standInKernel } from "@airlock/test-kit";
import { findCgroupHost } from "../../../../host/cgroups/cgroup-host.ts";
import { IdRanges } from "../../../../host/id-ranges.ts";
import { loadNetworkCalls } from "../../../../host/network-calls.ts";
import { loadSystemCalls } from "../../../../host/system-calls.ts";
import { makeGuestParts } from "../../../guest/testing/namespace-guest.ts";
import { slotBytes, type VmPlan } from "../../vm-monitor.ts";
import type { FirecrackerOptions, JailerOptions } from "../firecracker-options.ts";
import { makeErofsDisk, makeRealGuest } from "./real-guest.ts";

/** Real programs on a machine that can run virtual machines. See docs/microvm-firecracker.md. */
const {
  AIRLOCK_TEST_FIRECRACKER: realFirecracker,
  AIRLOCK_TEST_JAILER: realJailer,
  AIRLOCK_TEST_FIRECRACKER_KERNEL: realKernel,
  AIRLOCK_TEST_FIRECRACKER_BOOT_ARGS: realBootArgs = "",
} = process.env;

export const firecrackerName = realFirecracker ? "Firecracker" : "the stand-in for Firecracker";
export const jailerName = realFirecracker ? "Firecracker's jailer" : "the stand-in for Firecracker's jailer";

/** Firecracker and its jailer or stand-ins for them, guests for them, and directories for machines. */
export interface FirecrackerWorld extends AsyncDisposable {
  readonly options: FirecrackerOptions;
  readonly jailer: JailerOptions;
  readonly directory: string;
  /** A disk whose content is an image with busybox. Made anew with each call. */
  imageDisk(): Promise<string>;
  plan(changes?: Partial<VmPlan> & { readonly guestKind?: GuestKind }): Promise<VmPlan>;
}

/** @param programs `stand-in`: also where real programs are named, for guests that only the stand-in has. */
export async function makeFirecrackerWorld(programs?: "stand-in"): Promise<FirecrackerWorld> {
  const isReal = realFirecracker !== undefined && programs !== "stand-in";
  if (isReal && (!realJailer || !realKernel)) {
    throw new Error("AIRLOCK_TEST_FIRECRACKER needs AIRLOCK_TEST_JAILER and AIRLOCK_TEST_FIRECRACKER_KERNEL, too");
  }
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "fc-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const parts = stack.use(await makeGuestParts());
  const standIns = await standInFirecracker(directory);
  const realGuest = isReal && realKernel ? await makeRealGuest(directory, realKernel, parts.agent) : null;
  const initrd = join(directory, "initrd");
  if (!realGuest) await writeFile(initrd, "initrd", { mode: 0o644 });
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw new Error(calls.problem);
  const networks = await loadNetworkCalls();
  const ids = new IdRanges({ ids: { base: 0x7a000000, size: 64 }, size: 1, lockFile: join(directory, "ids"), calls });
  let count = 0;
  const next = () => {
    count += 1;
    return `${process.pid}-${count}`;
  };
  const held = stack.move();
  return {
    directory,
    options: {
      program: (isReal && realFirecracker) || standIns.firecracker,
      jailer: "none",
      bandwidth: null,
      bootArgs: isReal ? realBootArgs : "",
    },
    jailer: {
      program: (isReal && realJailer) || standIns.jailer,
      ids,
      cgroups: await findCgroupHost(),
      networks: "problem" in networks ? null : networks,
      owner: "firecracker-test",
    },
    imageDisk: () =>
      (realGuest ? makeErofsDisk : standInDisk)(join(directory, `disk-${next()}`), parts.image, slotBytes),
    async plan({ guestKind, ...changes } = {}) {
      const kind: GuestKind = guestKind ?? { kind: "agent", agent: parts.agent };
      const id = next();
      const dir = join(directory, id);
      await mkdir(dir, { mode: 0o700 });
      // A snapshot belongs to the name of its kernel.
      const kernel = join(directory, `kernel-${kind.kind}`);
      return {
        id,
        dir,
        guest: realGuest ?? { kernel: await standInKernel(kernel, kind), initrd },
        cpus: 1,
        memoryBytes: 128 * 2 ** 20,
        disks: [],
        network: null,
        bootMs: 20_000,
        ...changes,
      };
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
