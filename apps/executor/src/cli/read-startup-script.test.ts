import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { readStartupScript } from "./read-startup-script.ts";

describe("the startup script of virtual machines", () => {
  it("is read as it is", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "start.sh");
    await writeFile(path, "sysctl -w a=1\n");
    expect((await readStartupScript(path)).toString()).toBe("sysctl -w a=1\n");
  });

  const wrong: readonly (readonly [string, (path: string) => Promise<unknown>, string])[] = [
    ["missing", async () => {}, "can't be read"],
    ["directory", (path) => mkdir(path), "is not a file"],
    ["large", (path) => writeFile(path, Buffer.alloc(2 ** 20 + 1, 32)), "has more than 1 MiB"],
    ["binary", (path) => writeFile(path, Buffer.from("\x7fELF\0")), "contains a NUL byte"],
    ["pipe", (path) => outputOf(["mkfifo", path]), "is not a file"],
  ];
  it.each(wrong)("is refused with the variable's name when it is wrong: %s", async (name, make, problem) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, name);
    await make(path);
    await expect(readStartupScript(path)).rejects.toMatchObject({
      code: "invalid-configuration",
      message: expect.stringContaining(`the startup script ${path}`),
      hint: "Correct EXECUTOR_VM_STARTUP_SCRIPT_PATH, or unset it.",
    });
    await expect(readStartupScript(path)).rejects.toThrow(problem);
  });
});
