import { chmod, open, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import type { BuiltGuest } from "../guest/build/build-guest-files.ts";
import { slotBytes } from "../monitor/vm-monitor.ts";
import { testDockerDisk } from "../testing/test-docker-disk.ts";
import { testGuest } from "../testing/test-guest.ts";
import { copyDockerDisk, findDockerDisk, hasDockerDisk, openDockerDisk } from "./docker-disk.ts";

const signal = AbortSignal.timeout(300_000);
const options = { signal };

describeWithEngines(["microvm"], "the disk with Docker", () => {
  it("is copied as a whole, and refused for another kernel and after a change", async () => {
    const guest = await testGuest();
    const made = await testDockerDisk();
    await using directory = await temporaryDirectory();
    expect(await openDockerDisk(directory.path, guest, options)).toBeUndefined();
    expect(await copyDockerDisk(directory.path, directory.path, guest, options)).toBeUndefined();

    const copied = await copyDockerDisk(dirname(made.path), directory.path, guest, options);
    expect(copied?.manifest).toEqual(made.manifest);
    expect(made.manifest.packages.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["containerd", "docker.io", "iptables", "libc6", "runc"]),
    );

    const kernelPackage = { ...guest.manifest.kernelPackage, sha256: "0".repeat(64) };
    const other: BuiltGuest = { ...guest, manifest: { ...guest.manifest, kernelPackage } };
    await expect(openDockerDisk(directory.path, other, options)).rejects.toMatchObject({
      message: expect.stringContaining("belongs to another kernel"),
      hint: "Run as root: executor install microvm --docker",
    });
    expect(await findDockerDisk(directory.path, other, options)).toBeUndefined();
    expect(await hasDockerDisk(directory.path)).toBe(true);

    const path = copied?.path ?? "";
    await chmod(path, 0o600);
    const { bytes } = made.manifest;
    const changed = "does not have the checksum";
    await write(path, bytes + 2 ** 30, 32 * 2 ** 20);
    await expect(openDockerDisk(directory.path, guest, options)).rejects.toThrow(changed);
    await truncate(path, bytes);
    await truncate(path, slotBytes);
    expect(await openDockerDisk(directory.path, guest, options)).toEqual(copied);
    await write(path, bytes / 2, 1);
    await expect(openDockerDisk(directory.path, guest, options)).rejects.toThrow(changed);
  }, 300_000);
});

async function write(path: string, position: number, bytes: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.write(Buffer.alloc(bytes, 1), 0, bytes, position);
  } finally {
    await file.close();
  }
}
