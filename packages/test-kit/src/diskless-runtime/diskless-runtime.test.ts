import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe } from "vitest";
import { engines } from "../engines/engines.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { busyboxImage, dockerArchive, type FixtureImage, shellLessImage } from "../images/fixture-images.ts";
import type { RuntimeUnderTest } from "../runtime-contract/contract-tests.ts";
import { describeRuntime } from "../runtime-contract/runtime-contract.ts";
import { DisklessRuntime } from "./diskless-runtime.ts";

describe.skipIf(process.geteuid?.() !== 0)("as root", () => {
  describeRuntime("diskless", ["oci"], prepare, { measuresUsage: false });
});

async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const { path } = cleanup.use(await temporaryDirectory());
  const runtime = await DisklessRuntime.start({ runtimePath: engines().oci?.runtimePath ?? "", allowHostImage });
  cleanup.defer(() => runtime.close());
  const load = async (image: FixtureImage, reference: string) => {
    const archive = join(path, "image.tar");
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
    owner: `diskless-${process.pid}`,
    images: { shell, noShell, unprivileged, unknown: `127.0.0.1:${port}/fixtures/unknown:1` },
    provide: (image, name) => load(image, `fixtures/${name}:1`),
    dispose: () => owned.disposeAsync(),
  };
}
