import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "./command-line.ts";

async function execute(...args: string[]) {
  const calls: unknown[] = [];
  let output = "";
  let errors = "";
  const called =
    (name: string, exitCode: number) =>
    async (...given: unknown[]) => {
      calls.push([name, ...given]);
      return exitCode;
    };
  const exitCode = await runCommandLine(
    args,
    {
      run: called("run", 0),
      validate: called("validate", 1),
      install: called("install", 0),
      loadImages: called("loadImages", 0),
      runJob: called("runJob", 0),
      testVm: called("testVm", 0),
      attachTestVm: called("attachTestVm", 0),
      endTestVm: called("endTestVm", 0),
      listTestVms: called("listTestVms", 0),
    },
    {
      out: (text) => {
        output += text;
      },
      error: (text) => {
        errors += text;
      },
    },
  );
  return { calls, output, errors, exitCode };
}

const testVm = { repository: null, revision: "HEAD", image: null, nameOnly: false, keepMs: 3_600_000 };

describe("the executor's command line", () => {
  it.each([
    [[], ["run", { verify: false }]],
    [["--verify"], ["run", { verify: true }]],
    [
      ["run", "-verify"],
      ["run", { verify: true }],
    ],
    [["install"], ["install", "all", {}]],
    [
      ["install", "src-cli", "--bin-dir", "/opt/bin"],
      ["install", "src-cli", {}],
    ],
    [
      ["install", "-bin-dir=/opt/bin", "all"],
      ["install", "all", {}],
    ],
    [
      ["install", "microvm", "--from", "/media/guest"],
      ["install", "microvm", { from: "/media/guest" }],
    ],
    [
      ["install", "microvm", "--kernel-package", "linux.deb"],
      ["install", "microvm", { kernelPackage: "linux.deb" }],
    ],
    [
      ["install", "microvm", "--docker"],
      ["install", "microvm", { docker: true }],
    ],
    [
      ["install", "iptables-rules", "--recreate-chain"],
      ["install", "iptables-rules", {}],
    ],
    [
      ["install", "image", "kernel"],
      ["install", "image", {}],
    ],
    [
      ["image", "load", "a.tar"],
      ["loadImages", "a.tar"],
    ],
    [["test-vm"], ["testVm", testVm]],
    [
      ["test-vm", "-repo", "a/b", "-revision=main", "-name-only"],
      ["testVm", { ...testVm, repository: "a/b", revision: "main", nameOnly: true }],
    ],
    [
      ["test-vm", "--repo", "https://example.com/a.git", "--image", "node:24", "--keep", "2h"],
      ["testVm", { ...testVm, repository: "https://example.com/a.git", image: "node:24", keepMs: 7_200_000 }],
    ],
    [
      ["test-vm", "attach", "a-1"],
      ["attachTestVm", "a-1"],
    ],
    [
      ["test-vm", "end", "a-1"],
      ["endTestVm", "a-1"],
    ],
    [["test-vm", "list"], ["listTestVms"]],
  ])("accepts executor %j", async (args, call) => {
    expect(await execute(...args)).toEqual({ calls: [call], output: "", errors: "", exitCode: 0 });
  });

  it("exits with the code of the command that it ran", async () => {
    expect(await execute("validate")).toMatchObject({ calls: [["validate"]], exitCode: 1 });
  });

  it.each([
    [["valdate"], "unknown command 'valdate'", "validate"],
    [["run", "--verfy"], "unknown option '--verfy'", "--verify"],
    [["--verfy"], "unknown option '--verfy'", "--verify"],
    [["validate", "now"], "too many arguments", "executor validate --help"],
    [["install", "git", "now"], "unknown argument 'now'", "executor install --help"],
    [["install", "--bindir", "/x"], "unknown option '--bindir'", "--bin-dir"],
    [["image", "laod", "x"], "unknown command 'laod'", "load"],
    [["image", "load"], "missing required argument 'FILE'", "executor image load --help"],
    [["test-vm", "--repo", "x", "extra"], "too many arguments", "executor test-vm --help"],
    [["test-vm", "--revision", "main"], "--revision needs a repository", "executor test-vm --help"],
    [["test-vm", "--repo", "ssh://git@example.com/a"], "--repo must be a name, or an address with https://", "--help"],
    [["test-vm", "--repo", "https://u:p@example.com/a"], "without credentials", "--help"],
    [["test-vm", "--keep", "2d"], "Write it as 30m or 2h, at most 24h", "executor test-vm --help"],
    [["test-vm", "attach"], "missing required argument 'NAME'", "executor test-vm attach --help"],
    [["help", "fly"], "unknown topic 'fly'", "executor help"],
  ])("refuses executor %j and says what was probably meant", async (args, problem, hint) => {
    const { calls, errors, exitCode } = await execute(...args);
    expect([calls, exitCode]).toEqual([[], 2]);
    expect(errors).toContain(problem);
    expect(errors).toContain(hint);
  });

  it.each([
    [["--help"], "Exit codes:"],
    [["-help"], "Exit codes:"],
    [["help"], "validate"],
    [["run", "--help"], "executor run --verify"],
    [["help", "run"], "executor run --verify"],
    [["validate", "-h"], "executor validate"],
    [["install", "--help"], "executor install microvm --from"],
    [["test-vm", "--help"], "executor test-vm --repo https://"],
    [["test-vm", "end", "--help"], "executor test-vm end executor-test-vm-"],
    [["help", "test-vm"], "--name-only"],
    [["image", "load", "--help"], "executor image load alpine.tar"],
    [["help", "variables"], "EXECUTOR_FRONTEND_URL"],
    [["help", "variables", "--markdown"], "# Configuration of an executor"],
  ])("prints help with examples for executor %j", async (args, text) => {
    const { calls, output, errors, exitCode } = await execute(...args);
    expect([calls, errors, exitCode]).toEqual([[], "", 0]);
    expect(output).toContain(text);
  });

  it.each([["version"], ["--version"], ["-v"], ["-version"]])("prints its release for executor %s", async (arg) => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    const { output, exitCode } = await execute(arg);
    expect([output.split("\n")[0], exitCode]).toEqual([version, 0]);
    expect(output).toContain("reports itself to instances as 0.0.0+dev");
  });
});
