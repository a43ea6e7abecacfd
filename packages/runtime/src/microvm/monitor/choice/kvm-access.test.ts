import { chmod, chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { findKvmAccess } from "./kvm-access.ts";

describe("access to /dev/kvm", () => {
  it.skipIf(process.geteuid?.() !== 0)("is everyone's, a group's other than root's, or missing", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "kvm");
    expect(await findKvmAccess(path)).toEqual({ problem: expect.stringContaining("does not exist") });
    await writeFile(path, "");
    await chmod(path, 0o666);
    expect(await findKvmAccess(path)).toEqual({ group: null });
    await chmod(path, 0o660);
    expect(await findKvmAccess(path)).toEqual({ problem: expect.stringContaining(`chgrp kvm ${path}`) });
    await chown(path, 0, 107);
    expect(await findKvmAccess(path)).toEqual({ group: 107 });
    await chmod(path, 0o600);
    expect(await findKvmAccess(path)).toEqual({ problem: expect.stringContaining("chmod 660") });
  });
});
