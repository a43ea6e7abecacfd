import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import {
  busyboxImage,
  dockerArchive,
  type FixtureImage,
  type RuntimeUnderTest,
  shellLessImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { copyGuestFiles } from "../guest/build/build-guest-files.ts";
import type { MonitorSettings } from "../monitor/choice/monitor-settings.ts";
import { openMicrovmRuntime } from "../open-microvm-runtime.ts";
import { emulation, testGuest } from "./test-guest.ts";

/**
 * The microVM runtime with the images of the contract suite.
 * @param monitorIn Finds what runs machines. It may put files into the directory. Default: QEMU's emulation.
 */
export async function microvmUnderTest(
  monitorIn: (directory: string) => Promise<MonitorSettings> = async () => emulation(),
): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("vm-"));
  const guestDir = join(directory.path, "guest");
  // Firecracker's files and machines have to be on one file system.
  await copyGuestFiles(dirname((await testGuest()).kernel), guestDir);
  const runtime = await openMicrovmRuntime({
    stateDir: join(directory.path, "s"),
    guestDir,
    monitor: await monitorIn(directory.path),
    choice: "installed",
    onProblem: (problem) => process.stderr.write(`snapshot: ${problem}\n`),
  });
  cleanup.defer(() => runtime.close());
  const load = async (image: FixtureImage, reference: string) => {
    const archive = join(directory.path, "image.tar");
    await writeFile(archive, await dockerArchive(image, reference));
    await runtime.loadImages(archive, { signal: new AbortController().signal });
    return reference;
  };
  const shell = await load(await busyboxImage(), "fixtures/shell:1");
  const noShell = await load(await shellLessImage(), "fixtures/shell-less:1");
  const unprivileged = await load(await busyboxImage({ User: "1000:1000" }), "fixtures/unprivileged:1");
  const registry = createServer((_, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  cleanup.defer(() => new Promise((resolve) => registry.close(() => resolve())));
  const address = registry.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const owned = cleanup.move();
  return {
    runtime,
    owner: `contract-${process.pid}`,
    images: { shell, noShell, unprivileged, unknown: `127.0.0.1:${port}/fixtures/unknown:1` },
    provide: (image, name) => load(image, `fixtures/${name}:1`),
    dispose: () => owned.disposeAsync(),
  };
}
