import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";

const module = fileURLToPath(new URL("find-separate-users.ts", import.meta.url));
const program = `
  const { findSeparateUsers } = await import(${JSON.stringify(module)});
  const limits = { pendingSignals: 100, messageQueueBytes: 1000 };
  const [directory, size] = process.argv.slice(1);
  const found = await findSeparateUsers({ ids: { base: 1_800_000_000, size: Number(size) }, size: 65_536, directory, limits });
  console.log(JSON.stringify({ isPossible: "take" in found, problem: found.problem }));`;

interface Found {
  readonly isPossible: boolean;
  readonly problem?: string;
}

/** What an executor finds that runs after these commands, in a mount namespace of its own. */
async function findAfter(commands: string, directory: string, ids = 10 * 65_536): Promise<Found> {
  const script = `set -e; cd "$2"; ${commands}\nexec "$0" --input-type=module -e "$1" "$2/state" "$3"`;
  const args = ["--mount", "--", "sh", "-c", script, process.execPath, program, directory, String(ids)];
  const { stdout } = await promisify(execFile)("unshare", args);
  return JSON.parse(stdout) as Found;
}

describeWithEngines(["oci"], "separate users of sandboxes", () => {
  describe.skipIf(process.geteuid?.() !== 0)("as root", () => {
    it("are possible if the kernel and the file system can map owners", async () => {
      await using directory = await temporaryDirectory("airlock-separate-");
      await mkdir(join(directory.path, "state"));

      expect(await findAfter("", directory.path)).toEqual({ isPossible: true });
    });

    it("are impossible if the state directory is on an overlay", async () => {
      await using directory = await temporaryDirectory("airlock-separate-");
      for (const name of ["state", "lower", "upper", "work"]) await mkdir(join(directory.path, name));
      const mount = "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay state";

      expect((await findAfter(mount, directory.path)).problem).toMatch(
        /^The kernel or the file system of the state directory can't map owners \(.*EINVAL\)\.$/,
      );
    });

    it("are impossible if the settings give all sandboxes the same id range", async () => {
      await using directory = await temporaryDirectory("airlock-separate-");

      expect((await findAfter("", directory.path, 65_536)).problem).toContain("only one range");
    });
  });
});
