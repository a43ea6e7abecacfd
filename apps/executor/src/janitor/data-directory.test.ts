import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";

const isRoot = process.geteuid?.() === 0;

describe.runIf(isRoot)(isRoot ? "an executor's data directory" : "an executor's data directory [needs root]", () => {
  it("is refused on a full disk, with the next step", async () => {
    await using directory = await temporaryDirectory();
    const module = new URL("./data-directory.ts", import.meta.url).href;
    const program = `
      const { openDataDirectory } = await import(${JSON.stringify(module)});
      const { message, code, hint } = await openDataDirectory("disk/data").catch((error) => error);
      console.log(JSON.stringify({ message, code, hint }));`;
    // A separate mount namespace, so that the disk disappears with the process.
    const script = `mkdir disk && mount -t tmpfs -o size=64k tmpfs disk && mkdir disk/data
      cat /dev/zero >disk/full 2>/dev/null; exec "$@"`;
    const run = [process.execPath, "--input-type=module", "--eval", program];
    const { stdout } = await promisify(execFile)(
      "unshare",
      ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...run],
      { cwd: directory.path },
    );

    expect(JSON.parse(stdout)).toEqual({
      message: "no space left on the disk of the data directory disk/data",
      code: "data-directory-full",
      hint: "Free some space on that disk, or set EXECUTOR_DATA_DIR to a directory on another one.",
    });
  });
});
