import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { GuestSystem } from "./disks/guest-system.ts";
import { slotBytes } from "./monitor/vm-monitor.ts";
import { Rehearsal } from "./rehearsal.ts";

const never = new AbortController().signal;

describe("the disk of the rehearsal", () => {
  it("is made where a killed process left an incomplete one, which is removed", async () => {
    await using directory = await temporaryDirectory();
    await leaveScratch(directory.path);

    await Rehearsal.open(directory.path, { seccompFilter: Buffer.alloc(0), signal: never });

    expect(await readdir(directory.path)).toEqual(["1.ext4"]);
  });
});

describeWithEngines(["microvm"], "the disk of the guest's system", () => {
  it("is made where a killed process left an incomplete one, which is removed", async () => {
    await using directory = await temporaryDirectory();
    await leaveScratch(directory.path);

    await new GuestSystem({ directory: directory.path, slotBytes }).disk();

    expect(await readdir(directory.path)).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.ext4$/)]);
  });
});

/** Leaves what a process that was killed leaves. */
async function leaveScratch(directory: string): Promise<void> {
  const child = spawn("sleep", ["0"]);
  await once(child, "exit");
  const scratch = join(directory, `.guest-${child.pid}-1-left`);
  await mkdir(scratch);
  await writeFile(join(scratch, "disk"), "half");
}
