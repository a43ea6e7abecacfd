import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeWithEngines } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { defaultIds, hostId, problemOfIdRange, sharedIds } from "../host/id-range.ts";

const module = fileURLToPath(new URL("user-namespace.ts", import.meta.url));
const program = `
  const { findUserNamespaces } = await import(${JSON.stringify(module)});
  console.log(JSON.stringify(await findUserNamespaces({ base: 100000, size: 65536 })));`;

/** The result of an executor that runs after these commands. */
async function findAfter(namespaces: readonly string[], commands: string): Promise<{ readonly problem?: string }> {
  const script = `${commands} exec "$0" --input-type=module -e "$1"`;
  const args = [...namespaces, "--", "sh", "-c", script, process.execPath, program];
  const { stdout } = await promisify(execFile)("unshare", args);
  return JSON.parse(stdout) as { readonly problem?: string };
}

describeWithEngines(["oci"], "user namespaces", () => {
  describe.skipIf(process.geteuid?.() !== 0)("as root", () => {
    it("are available if the kernel allows them", async () => {
      expect(await findAfter(["--mount"], "")).toEqual({ stageDirectory: expect.any(String) });
    });

    it("are unavailable if the administrator allows no user namespaces", async () => {
      const found = await findAfter(["--user", "--map-root-user"], "echo 0 > /proc/sys/user/max_user_namespaces;");

      expect(found.problem).toContain("max_user_namespaces is 0");
    });

    it("are unavailable if the id range does not exist", async () => {
      expect((await findAfter(["--user", "--map-root-user"], "")).problem).toContain(
        "ids 100000 to 165535 do not exist",
      );
    });

    it("are unavailable if a part of /proc is hidden from the executor, as in a container", async () => {
      const found = await findAfter(
        ["--mount"],
        "mount -t tmpfs none /proc/scsi 2>/dev/null || mount -t tmpfs none /proc/fs;",
      );

      expect(found.problem).toContain("refuses a user namespace with its own /proc");
    });
  });
});

describe("an id range", () => {
  it("maps ids that it does not contain to an unused id", () => {
    expect([0, 1000, 65_535, 65_536, 4e9].map((id) => hostId(sharedIds, id))).toEqual([
      100_000, 101_000, 165_535, 165_534, 165_534,
    ]);
    expect(hostId(null, 70_000)).toBe(70_000);
  });

  it("must lie above the host's accounts, be wide enough, and stay within the kernel's ids", () => {
    expect([defaultIds, sharedIds].map(problemOfIdRange)).toEqual([undefined, undefined]);
    for (const [base, size] of [
      [1000, 65_536],
      [100_000, 1000],
      [0xffff0000, 65_536],
      [100_000.5, 65_536],
    ] as const) {
      expect(problemOfIdRange({ base, size })).toEqual(expect.any(String));
    }
  });
});
