import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { busyboxImage, describeWithEngines, dockerArchive, engines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { testGuest } from "./testing/test-guest.ts";

const main = join(import.meta.dirname, "testing", "full-disk-main.ts");

describeWithEngines(["microvm"], "virtual machines on a full disk of the executor", () => {
  it("start without a snapshot, tell steps that write, and are refused with the directory and the next step", async () => {
    await using directory = await temporaryDirectory("vm-");
    const { kernel } = await testGuest();
    const { qemuPath = "" } = engines().microvm ?? {};
    const image = "fixtures/shell:1";
    const archive = join(directory.path, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    const disk = join(directory.path, "d");
    await mkdir(disk);
    // Only this process and its children see the mount.
    const script = 'mount -t tmpfs -o size=32m tmpfs "$1" && shift && exec "$@"';
    const program = [process.execPath, main, join(disk, "s"), dirname(kernel), qemuPath, archive, image];
    const { stdout } = await promisify(execFile)("unshare", [
      ...["--mount", "--propagation", "private", "sh", "-c", script, "sh", disk, ...program],
    ]);

    const { status, output, second, snapshot } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    const full = expect.stringMatching(new RegExp(`no space left on the disk of ${disk}/`));
    const hint = expect.stringContaining("EXECUTOR_DATA_DIR");
    expect([status.kind, output]).toEqual(["exited", expect.stringMatching(/I\/O error|Input\/output error/)]);
    expect(second).toEqual([full, hint]);
    expect(snapshot).toEqual([expect.stringMatching(/^a snapshot.*no space left/), hint]);
  }, 120_000);
});
