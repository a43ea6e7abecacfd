import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { beforeAll, expect, it } from "vitest";
import { testGuest, testKernelPackage } from "../../testing/test-guest.ts";
import { type BuiltGuest, buildGuestFiles, copyGuestFiles, openGuestFiles } from "./build-guest-files.ts";

const signal = AbortSignal.timeout(200_000);

describeWithEngines(["microvm"], "the guest's files", () => {
  let guest: BuiltGuest;
  let kernelPackage: string;

  beforeAll(async () => {
    guest = await testGuest();
    kernelPackage = await testKernelPackage();
  }, 200_000);

  /** A directory with a copy of the files. */
  const copyTo = async (directory: string): Promise<BuiltGuest> => {
    const sources = [guest.kernel, guest.initrd, join(dirname(guest.kernel), "guest.json")];
    for (const source of sources) await copyFile(source, join(directory, basename(source)));
    const [kernel, initrd] = [guest.kernel, guest.initrd].map((path) => join(directory, basename(path)));
    return { ...guest, kernel: kernel ?? "", initrd: initrd ?? "" };
  };

  it("are the same bytes when they are built again", async () => {
    await using directory = await temporaryDirectory();
    const again = await buildGuestFiles({ directory: directory.path, kernelPackage, signal });
    expect(again.manifest).toEqual(guest.manifest);
    expect(await readdir(directory.path)).toHaveLength(3);
    expect((await readFile(again.kernel)).subarray(0, 4).toString("latin1")).toBe("\x7fELF");
    // The kernel would check each signature at each boot.
    expect((await readFile(again.initrd)).includes("~Module signature appended~")).toBe(false);
  }, 60_000);

  it("are taken from a directory that has them, and built again when one is missing", async () => {
    await using directory = await temporaryDirectory();
    const first = await copyTo(directory.path);
    // Without a package it would have to download one, for which this signal leaves no time.
    const offline = { directory: directory.path, signal: AbortSignal.abort(new Error("no network")) };
    expect(await buildGuestFiles(offline)).toEqual(first);
    await rm(first.initrd);
    await expect(buildGuestFiles(offline)).rejects.toThrow("no network");
    expect(await readdir(directory.path)).toHaveLength(2);
  }, 60_000);

  it("are copied from another directory, and checked there first", async () => {
    await using source = await temporaryDirectory();
    await using target = await temporaryDirectory();
    const { kernel } = await copyTo(source.path);
    const copied = await copyGuestFiles(source.path, target.path);
    expect(copied.manifest).toEqual(guest.manifest);
    expect(await readFile(copied.initrd)).toEqual(await readFile(guest.initrd));
    await truncate(kernel, 1000);
    await rm(join(target.path, "guest.json"));
    await expect(copyGuestFiles(source.path, target.path)).rejects.toThrow("does not have the checksum");
    await expect(copyGuestFiles(target.path, source.path)).rejects.toMatchObject({
      message: expect.stringContaining("has no files"),
      hint: expect.stringContaining("copied from a machine with the same version"),
    });
  });

  it.each([
    ["the kernel", "kernel", "does not have the checksum of its manifest"],
    ["the manifest", "guest.json", "is not JSON"],
  ])(
    "are refused when %s is damaged, and made again by an install",
    async (_what, which, problem) => {
      await using directory = await temporaryDirectory();
      const { kernel } = await copyTo(directory.path);
      const damaged = which === "kernel" ? kernel : join(directory.path, which);
      await truncate(damaged, 100);
      const abandoned = join(directory.path, ".guest-1-1-abcdef");
      await mkdir(abandoned);
      await expect(openGuestFiles(directory.path)).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringContaining(`${damaged} is damaged: it ${problem}`),
        hint: "Run as root: executor install microvm",
      });
      const again = await buildGuestFiles({ directory: directory.path, kernelPackage, signal });
      expect(again.manifest).toEqual(guest.manifest);
      expect(await readdir(directory.path)).toHaveLength(3);
      await openGuestFiles(directory.path);
    },
    60_000,
  );

  it("name the file that can't be read", async () => {
    await using directory = await temporaryDirectory();
    const { initrd } = await copyTo(directory.path);
    await rm(initrd);
    await mkdir(initrd);
    await expect(openGuestFiles(directory.path)).rejects.toMatchObject({
      reason: "runtime",
      message: `the guest's file ${initrd} can't be read`,
      hint: expect.stringContaining("EXECUTOR_DATA_DIR"),
    });
  });

  it("are refused when the package is not one", async () => {
    await using directory = await temporaryDirectory();
    const broken = join(directory.path, "broken.deb");
    await writeFile(broken, "not a package");
    const building = buildGuestFiles({ directory: directory.path, kernelPackage: broken, signal });
    await expect(building).rejects.toMatchObject({ reason: "runtime", message: expect.stringContaining("broken.deb") });
  });
});
