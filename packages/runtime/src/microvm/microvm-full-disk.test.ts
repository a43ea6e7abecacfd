import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeWithEngines, engines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { testGuest } from "./testing/test-guest.ts";

const main = fileURLToPath(new URL("./testing/full-disk-main.ts", import.meta.url));

describeWithEngines(["microvm"], "virtual machines on a full disk of the executor", () => {
  it("start without a snapshot or not at all, and name the directory and the next step", async () => {
    await using directory = await temporaryDirectory("vm-");
    const { kernel } = await testGuest();
    const { qemuPath = "" } = engines().microvm ?? {};
    const disk = join(directory.path, "d");
    await mkdir(disk);
    // Only this process and its children see the mount.
    const script = 'mount -t tmpfs -o size=16m tmpfs "$1" && shift && exec "$@"';
    const program = [process.execPath, main, join(disk, "s"), dirname(kernel), qemuPath];
    const { stdout } = await promisify(execFile)("unshare", [
      ...["--mount", "--propagation", "private", "sh", "-c", script, "sh", disk, ...program],
    ]);

    const { snapshot, second } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    const hint = expect.stringContaining("EXECUTOR_DATA_DIR");
    const full = `no space left on the disk of ${disk}/`;
    expect(snapshot).toEqual([
      expect.stringContaining(`no snapshot can be made, so machines start slower: ${full}`),
      hint,
    ]);
    expect(second).toEqual([expect.stringContaining(`cannot make the workspace's disk: ${full}`), hint]);
  }, 240_000);
});
