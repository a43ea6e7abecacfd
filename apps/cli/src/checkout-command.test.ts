import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { version } from "./version.ts";

const root = path.resolve(import.meta.dirname, "../../..");

describe("the `airlock` command of a checkout", () => {
  it("can be run by its path from any directory", async () => {
    await using directory = await temporaryDirectory();
    const { stdout } = await promisify(execFile)(path.join(root, "airlock"), ["--version"], { cwd: directory.path });
    expect(stdout).toBe(`${version}\n`);
  });

  it("is the form that the README uses, because npm has an unrelated package of that name", async () => {
    const readme = await readFile(path.join(root, "README.md"), "utf8");
    const commands = readme.split("```").filter((_, index) => index % 2 === 1);
    expect(commands.join("\n")).toContain("./airlock job submit");
    expect(commands.join("\n")).not.toMatch(/npx|npm exec/);
  });
});
