import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fuzzParameters, runGit, temporaryDirectory } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IgnoreRules } from "./ignore-rules.ts";

const never = new AbortController().signal;

describe("ignore rules", () => {
  const stack = new AsyncDisposableStack();
  let dir: string;
  beforeAll(async () => {
    dir = stack.use(await temporaryDirectory()).path;
  });
  afterAll(async () => await stack.disposeAsync());

  let count = 0;
  /** What git ignores, of paths that need not exist. */
  async function ignoredByGit(files: ReadonlyMap<string, string>, paths: readonly string[]): Promise<string[]> {
    count += 1;
    const root = join(dir, String(count));
    await mkdir(root);
    await runGit(root, ["init", "--quiet"]);
    for (const [directory, text] of files) {
      await mkdir(join(root, directory), { recursive: true });
      await writeFile(join(root, directory, ".gitignore"), text, "latin1");
    }
    const stdin = Buffer.from(paths.join("\0"), "latin1");
    // Exit code 1: nothing is ignored.
    const output = await runGit(root, ["check-ignore", "--no-index", "-z", "--stdin"], stdin).catch((error: Error) => {
      if (error.message.includes("ended with 1:")) return "";
      throw error;
    });
    await rm(root, { recursive: true });
    return output.split("\0").filter((path) => path !== "");
  }

  async function ignoredByUs(files: ReadonlyMap<string, string>, paths: readonly string[]): Promise<string[]> {
    const rules = new IgnoreRules(files, never);
    const ignored: string[] = [];
    for (const path of paths) if (await rules.ignores(path)) ignored.push(path);
    return ignored;
  }

  const paths = [
    ...["a", "b", "ab", "a.o", "a b", "a ", "#a", "!a", "a\\b", "abc", "A", "a-c", "]", "[a]", "a]"],
    ...["d/a", "d/b", "d/e/a", "d/e/f/a", "d/e/f/b.o", "e/a", "d.o/a", "a/b", "a/b/c", "a/x/b", "a/x/y/b"],
  ];

  it.each([
    "a",
    "/a",
    "a/",
    "*.o",
    "/*.o",
    "d/a",
    "d/*",
    "d/**",
    "**/a",
    "**/e/a",
    "a/**/b",
    "d/**/f/",
    "**",
    "*",
    "a**b",
    "***/a",
    "!a",
    "*\n!a",
    "d/\n!d/a",
    "d/*\n!d/a",
    "\\#a",
    "\\!a",
    "#a",
    "a\\ ",
    "a\\  ",
    "a   ",
    "a\\\\b",
    "[ab]",
    "[!a]",
    "[^a]",
    "[a-c]",
    "a[-x]c",
    "[]]",
    "[]a]",
    "[\\]]",
    "[[]a]",
    "[[:alpha:]]",
    "[[:alpha:]b]",
    "[[:nothing:]]",
    "[[:constructor:]]",
    "[[:]a]",
    "[[::]a]",
    "[[:a]b]",
    "[c-a]",
    "[[:alpha:",
    "[a",
    "a\\",
    "?",
    "a?c",
    "/",
    "//",
    "",
    " ",
    "a\r\nb\r",
    "\u00ef\u00bb\u00bfa",
    "d/e/",
    "/d/e/f/*\n!/d/e/f/a",
    "a/b",
    "a//b",
    "./a",
    "../a",
  ])("%j match the same files as in git", async (rules) => {
    const files = new Map([["", rules]]);
    expect(await ignoredByUs(files, paths)).toEqual(await ignoredByGit(files, paths));
  });

  it("of a deeper directory take precedence over those above, as in git", async () => {
    for (const [above, below] of [
      ["*.o", "!*.o"],
      ["!*.o", "*.o"],
      ["e", "!a"],
      ["a", "!/e/a"],
    ] as const) {
      const files = new Map([
        ["", above],
        ["d", below],
        ["d/e", "f/"],
      ]);
      expect(await ignoredByUs(files, paths), `${above} and ${below}`).toEqual(await ignoredByGit(files, paths));
    }
  });

  it("match the same files as in git for random rules", async () => {
    const piece = fc.constantFrom(
      "a",
      "b",
      "*",
      "**",
      "?",
      "/",
      "[ab]",
      "[!a]",
      "[a-",
      "]",
      "\\",
      "!",
      " ",
      ".",
      "d",
      "e",
    );
    const line = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
    const file = fc.array(line, { maxLength: 4 }).map((lines) => lines.join("\n"));
    await fc.assert(
      fc.asyncProperty(file, file, async (root, below) => {
        const files = new Map([
          ["", root],
          ["d", below],
        ]);
        expect(await ignoredByUs(files, paths)).toEqual(await ignoredByGit(files, paths));
      }),
      fuzzParameters("ignore rules", 60),
    );
  }, 120_000);

  it("stop on abort, however many rules there are", async () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => `${"*a".repeat(30)}b${index}\n`).join("");
    const stop = new AbortController();
    const endless = new IgnoreRules(new Map([["", rules]]), stop.signal);
    const reason = new Error("too late");
    setImmediate(() => stop.abort(reason));
    await expect(
      (async () => {
        for (let index = 0; ; index += 1) await endless.ignores(`${"a".repeat(240)}${index}`);
      })(),
    ).rejects.toBe(reason);
  });

  it("end with their signal, however long their classes are", async () => {
    const rules = `*[${"b".repeat(2000)}]\n`.repeat(1000);
    const stop = new AbortController();
    const endless = new IgnoreRules(new Map([["", rules]]), stop.signal);
    const reason = new Error("too late");
    setImmediate(() => stop.abort(reason));
    await expect(
      (async () => {
        for (let index = 0; ; index += 1) await endless.ignores(`${"a".repeat(240)}${index}`);
      })(),
    ).rejects.toBe(reason);
  }, 5_000);
});
