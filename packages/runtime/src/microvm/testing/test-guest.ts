import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { engines } from "@airlock/test-kit";
import { findCgroupHost } from "../../host/cgroups/cgroup-host.ts";
import { defaultIds } from "../../host/id-range.ts";
import { idsLockFile } from "../../host/id-ranges.ts";
import { type BuiltGuest, buildGuestFiles } from "../guest/build/build-guest-files.ts";
import { fetchKernelPackage } from "../guest/build/fetch-kernel-package.ts";
import type { MonitorSettings } from "../monitor/choice/monitor-settings.ts";
import { openQemuMonitor } from "../monitor/qemu/open-qemu-monitor.ts";
import type { QemuMonitor } from "../monitor/qemu/qemu-monitor.ts";

/** Kept across runs, because the kernel has to be downloaded. */
const cache = fileURLToPath(new URL("../../../../../node_modules/.cache/airlock-guest/", import.meta.url));
const buildMs = 120_000;

/** The guest that the suites boot. */
export async function testGuest(): Promise<BuiltGuest> {
  const kernelPackage = await testKernelPackage();
  return await buildGuestFiles({ directory: cache, kernelPackage, signal: AbortSignal.timeout(buildMs) });
}

/** The kernel package of {@link testGuest}. */
export async function testKernelPackage(): Promise<string> {
  await mkdir(cache, { recursive: true });
  const present = (await readdir(cache)).find((name) => name.endsWith(".deb"));
  if (present !== undefined) return join(cache, present);
  const scratch = await mkdtemp(join(cache, "download-"));
  try {
    const { path } = await fetchKernelPackage(scratch, { signal: AbortSignal.timeout(buildMs) });
    // Whole at once: other test files look for it, too.
    await rename(path, join(cache, basename(path)));
    return join(cache, basename(path));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Settings for QEMU without KVM. */
export function emulation(): MonitorSettings {
  const { qemuPath } = engines().microvm ?? fail();
  return { monitor: "qemu", accelerator: "tcg", qemuPath };
}

/** QEMU without KVM, confined as on an executor that runs as root. */
export async function testQemuMonitor({
  owner,
  program,
  processor,
}: {
  readonly owner: string;
  /** A stand-in for QEMU. Default: QEMU itself. */
  readonly program?: string;
  readonly processor?: string;
}): Promise<QemuMonitor> {
  const { qemuPath } = engines().microvm ?? fail();
  const cgroupHost = await findCgroupHost();
  return await openQemuMonitor({
    program: program ?? qemuPath,
    accelerator: "tcg",
    ...(processor === undefined ? {} : { processor }),
    kvmGroup: null,
    owner,
    ids: defaultIds,
    lockFile: idsLockFile,
    cgroupHost,
  });
}

function fail(): never {
  throw new Error("this run has no engine microvm");
}
