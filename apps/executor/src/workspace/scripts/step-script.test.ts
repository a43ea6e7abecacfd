import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stepScript } from "./step-script.ts";

let stack: AsyncDisposableStack;
let dir: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
});

afterEach(() => stack.disposeAsync());

/** Runs a script in the same way as a sandbox. */
async function run(text: string, shell: "strict" | "protocol" = "strict", env: Record<string, string> = {}) {
  const { files, start } = stepScript("3", text.split("\n"), shell);
  for (const { path, content } of files) await writeFile(join(dir, path), content, { mode: 0o555 });
  const { status, stdout, stderr } = spawnSync("/bin/sh", [join(dir, start)], {
    encoding: "utf8",
    env: { PATH: process.env.PATH, LC_ALL: "C", ...env },
  });
  return { exitCode: status, stdout, stderr };
}

const hasBash = existsSync("/bin/bash");

describe("a strict script", () => {
  it("appears in messages with the submitter's line numbers, from the first line on", async () => {
    for (const [text, line] of [
      ["nosuchcommand", 1],
      ["echo one\nnosuchcommand", 2],
      ["\n\nif true; then\n  nosuchcommand\nfi", 4],
    ] as const) {
      const { exitCode, stderr } = await run(text);
      expect(exitCode).toBe(127);
      expect(stderr).toMatch(new RegExp(`3\\.sh: (?:line )?${line}: .*nosuchcommand`));
    }
  });

  it("ends at the first command that fails, with its exit code and without tracing commands", async () => {
    expect(await run("echo one\nsh -c 'exit 7'\necho two")).toEqual({ exitCode: 7, stdout: "one\n", stderr: "" });
  });

  it.each(["#!/usr/bin/awk -f", "#! /usr/bin/awk   -f  ", "#!/usr/bin/env -S awk -f", "#!/usr/bin/awk -f\r"])(
    "is run by the interpreter of its first line %j",
    async (line) => {
      const text = `${line}\nBEGIN { print "awk", ENVIRON["WORD"] }`;
      expect(await run(text, "strict", { WORD: "word" })).toEqual({ exitCode: 0, stdout: "awk word\n", stderr: "" });
    },
  );

  it("appears in its interpreter's messages with the submitter's line numbers, too", async () => {
    const { exitCode, stderr } = await run("#!/usr/bin/awk -f\nBEGIN {\n  print (\n}");
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/3\.script: line 3/);
  });

  it.each(["#!/bin/sh", "#!/bin/sh -u", "#!/bin/sh -", "#!/bin/sh --", "#!/usr/bin/env sh", "#!/usr/bin/env -S sh -u"])(
    "ends at the first command that fails if its first line %j names a shell",
    async (line) => {
      expect(await run(`${line}\necho one\nfalse\necho two`)).toMatchObject({ exitCode: 1, stdout: "one\n" });
    },
  );

  it.runIf(hasBash)("is run by bash if its first line says so, also with a long option", async () => {
    const text = "words=(one two)\necho $words $0\nfalse\necho three";
    for (const line of ["#!/bin/bash", "#!/bin/bash --norc", "#!/usr/bin/env bash"]) {
      const stdout = `one ${join(dir, "3.script")}\n`;
      expect(await run(`${line}\n${text}`)).toEqual({ exitCode: 1, stdout, stderr: "" });
    }
  });

  it("causes an error that names an interpreter which the image lacks", async () => {
    expect(await run("#!/opt/it's here\nx")).toEqual({
      exitCode: 127,
      stdout: "",
      stderr: "the script's first line names /opt/it's, which the image does not have\n",
    });
  });

  it("is shown to users as it runs", () => {
    expect(stepScript("0", ["true"], "strict").command).toEqual(["/bin/sh", "/airlock/0.sh"]);
    expect(stepScript("0", ["#!/usr/bin/env python3"], "strict").command).toEqual([
      "/usr/bin/env",
      "python3",
      "/airlock/0.script",
    ]);
  });
});

describe("a script of the protocol", () => {
  it("traces every command, goes on after failures, and ends with the last exit code", async () => {
    const { exitCode, stdout, stderr } = await run("false\necho one\nsh -c 'exit 7'", "protocol");
    expect([exitCode, stdout]).toEqual([7, "one\n"]);
    expect(stderr.split("\n")).toEqual(expect.arrayContaining(["+ false", "+ echo one", "+ sh -c 'exit 7'"]));
    expect((await run("false\ntrue", "protocol")).exitCode).toBe(0);
  });

  it("keeps the submitter's line numbers", async () => {
    expect((await run("nosuchcommand", "protocol")).stderr).toMatch(/(?:line )?1: .*nosuchcommand/);
    expect((await run("true\nnosuchcommand", "protocol")).stderr).toMatch(/(?:line )?2: .*nosuchcommand/);
  });

  it.runIf(hasBash)("runs in bash, even if the first line is something that other shells can't parse", async () => {
    expect((await run("words=(one two)\necho $words", "protocol")).stdout).toBe("one\n");
  });

  it("treats a first line that names an interpreter as a comment", async () => {
    expect((await run("#!/usr/bin/awk -f\necho one", "protocol")).stdout).toBe("one\n");
  });

  it("does not change the step's variables", async () => {
    const env = { shell: "mine", __shell: "mine" };
    expect((await run('echo "$shell $__shell $#"', "protocol", env)).stdout).toBe("mine mine 0\n");
  });
});
