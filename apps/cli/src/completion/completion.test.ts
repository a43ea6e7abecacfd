import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "../run-command-line.ts";
import { testContext } from "../testing/test-context.ts";

async function script(shell: string): Promise<string> {
  const context = testContext();
  await runCommandLine(["completion", shell], context);
  expect(context.exitCode).toBeNull();
  return context.printed.stdout;
}

/** What a real shell offers at the end of a command line. */
type Complete = (words: readonly string[]) => Promise<readonly string[]>;

async function run(file: string, args: readonly string[]): Promise<readonly string[]> {
  const { stdout, stderr } = await promisify(execFile)(file, [...args]);
  expect(stderr).toBe("");
  return stdout.split("\n").filter((line) => line !== "");
}

const inBash: Complete = async (words) => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, "airlock.bash");
  await writeFile(file, await script("bash"));
  const program = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _airlock; printf "%s\\n" "\${COMPREPLY[@]}"`;
  return await run("bash", ["--norc", "-c", program, "bash", file, "airlock", ...words]);
};

/** Replaces zsh's functions that show candidates, which only work while a line is edited, by ones that print them. */
const inZsh: Complete = async (words) => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, "airlock.zsh");
  await writeFile(file, await script("zsh"));
  const program = `
    compdef() { : }
    _files() { : }
    compadd() { shift; print -l -- $@ }
    _describe() { print -l -- \${items%%:*} }
    source "$1"; shift; words=("$@"); CURRENT=$#; _airlock`;
  const offered = await run("zsh", ["-f", "-c", program, "zsh", file, "airlock", ...words]);
  return offered.filter((word) => word.startsWith(words.at(-1) ?? ""));
};

const inFish: Complete = async (words) => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, "airlock.fish");
  await writeFile(file, await script("fish"));
  const line = ["airlock", ...words].join(" ");
  const offered = await run("fish", ["--no-config", "-c", `source ${file}; complete -C '${line}'`]);
  return offered.map((word) => word.split("\t")[0] ?? "");
};

describe.each<[string, Complete]>([
  ["bash", inBash],
  ["zsh", inZsh],
  ["fish", inFish],
])("%s completes", (_shell, complete) => {
  it("commands and their verbs", async () => {
    expect(await complete(["jo"])).toEqual(["job"]);
    expect((await complete(["job", "c"])).toSorted()).toEqual(["cancel"]);
    expect(await complete(["queue", "cre"])).toEqual(["create"]);
    expect(await complete(["org", "member", "se"])).toEqual(["set-role"]);
  });

  it("options of the command", async () => {
    expect(await complete(["job", "list", "--sin"])).toEqual(["--since"]);
    expect(await complete(["job", "ls", "--sin"])).toEqual(["--since"]);
    expect(await complete(["job", "cancel", "7", "--lab"])).toEqual(["--label"]);
    expect(await complete(["job", "show", "--sin"])).toEqual([]);
  });

  it("values of a fixed list", async () => {
    expect(await complete(["secret", "audit", "--action", "del"])).toEqual(["deleted"]);
    expect(await complete(["org", "member", "add", "crew", "ann", "--role", "vi"])).toEqual(["viewer"]);
  });

  it("nothing of its own after --", async () => {
    expect(await complete(["job", "submit", "--", "--ima"])).toEqual([]);
  });
});

it("the scripts are written for every shell only from the definitions of the commands", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const text = await script(shell);
    for (const word of ["submit", "idempotency-key", "rotate", "namespace-limit"]) expect(text).toContain(word);
  }
});
