import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fuzzParameters, runGit, temporaryDirectory } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TreeAttributes } from "./tree-attributes.ts";

const names = ["text", "eol", "ident"];

describe("attributes of a tree", () => {
  const stack = new AsyncDisposableStack();
  let dir: string;
  beforeAll(async () => {
    dir = stack.use(await temporaryDirectory()).path;
  });
  afterAll(async () => await stack.disposeAsync());

  let count = 0;
  async function attributesByGit(files: ReadonlyMap<string, string>, paths: readonly string[]): Promise<string[]> {
    count += 1;
    const root = join(dir, String(count));
    await mkdir(root);
    await runGit(root, ["init", "--quiet"]);
    for (const [directory, text] of files) {
      await mkdir(join(root, directory), { recursive: true });
      await writeFile(join(root, directory, ".gitattributes"), text, "latin1");
    }
    const stdin = Buffer.from(paths.join("\0"), "latin1");
    const output = await runGit(root, ["check-attr", "-z", "--stdin", ...names], stdin);
    await rm(root, { recursive: true });
    const words = output.split("\0").slice(0, -1);
    return Array.from({ length: words.length / 3 }, (_, index) => words.slice(index * 3, index * 3 + 3).join(": "));
  }

  async function attributesByUs(files: ReadonlyMap<string, string>, paths: readonly string[]): Promise<string[]> {
    const attributes = new TreeAttributes(files, names, new AbortController().signal);
    const lines: string[] = [];
    for (const path of paths) {
      const found = await attributes.of(path);
      for (const name of names) {
        const value = found.get(name);
        const word = value === undefined ? "unspecified" : value === true ? "set" : value === false ? "unset" : value;
        lines.push([path, name, word].join(": "));
      }
    }
    return lines;
  }

  const paths = ["a", "b", "a b", "a.o", "#a", "!a", '"a"', "d/a", "d/b.o", "d/e/a", "d/e/f/b", "a/b", "a\tb"];

  it.each([
    "a text",
    "a\ttext=auto\teol=lf\r",
    "  a text",
    "* text\na !text\nd/a -text",
    "[[:constructor:]] text",
    "*.o binary\n*.o text",
    "*.o text\n*.o binary",
    "*.o binary text",
    "*.o text binary",
    "*.o -binary",
    "[attr]mine text eol=crlf\n* mine",
    "[attr]mine other\n[attr]other ident\n* mine",
    "[attr]mine mine text\n* mine",
    "[attr]binary ident\n* binary",
    "[attr] text\n* ident",
    '"a b" text',
    '"a\\tb" text',
    '"\\141" text',
    '"a" text',
    '"a text',
    '"a"text',
    "#a text",
    '"#a" text',
    "!a text",
    "\\!a text",
    "a/ text",
    "/a text",
    "d/** text",
    "**/a text",
    "d text",
    "a text -",
    "a text =x",
    "a text=",
    "a text --x",
    "a te/xt ident",
    "a eol=lf eol=crlf",
    `a text ${"x".repeat(2100)}`,
    "\u00ef\u00bb\u00bfa text",
    "a",
    "",
  ])("%j mean the same as in git", async (text) => {
    const files = new Map([["", text]]);
    expect(await attributesByUs(files, paths)).toEqual(await attributesByGit(files, paths));
  });

  it("mean the same as in git for random input", async () => {
    const pattern = fc.constantFrom(
      "a",
      "*",
      "*.o",
      "d/*",
      "/a",
      "**/b",
      "d/**",
      "[ab]",
      "e/a",
      "[attr]m",
      '"a b"',
      "!a",
    );
    const state = fc.constantFrom("text", "-text", "!text", "text=auto", "eol=lf", "ident", "binary", "m", "-m", "x=");
    const line = fc
      .tuple(pattern, fc.array(state, { maxLength: 4 }))
      .map(([first, states]) => [first, ...states].join(" "));
    const file = fc.array(line, { maxLength: 4 }).map((lines) => lines.join("\n"));
    await fc.assert(
      fc.asyncProperty(file, file, async (root, below) => {
        const files = new Map([
          ["", root],
          ["d", below],
        ]);
        expect(await attributesByUs(files, paths)).toEqual(await attributesByGit(files, paths));
      }),
      fuzzParameters("attributes", 60),
    );
  }, 120_000);

  it("stop on abort, however many attributes there are", async () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => `${"*a".repeat(30)}b${index} text\n`).join("");
    const stop = new AbortController();
    const endless = new TreeAttributes(new Map([["", rules]]), names, stop.signal);
    const reason = new Error("too late");
    setImmediate(() => stop.abort(reason));
    await expect(
      (async () => {
        for (let index = 0; ; index += 1) await endless.of(`${"a".repeat(240)}${index}`);
      })(),
    ).rejects.toBe(reason);
  });

  it("end with their signal, however long their classes are", async () => {
    const rules = `*[${"b".repeat(2000)}] text\n`.repeat(1000);
    const stop = new AbortController();
    const endless = new TreeAttributes(new Map([["", rules]]), names, stop.signal);
    const reason = new Error("too late");
    setImmediate(() => stop.abort(reason));
    await expect(
      (async () => {
        for (let index = 0; ; index += 1) await endless.of(`${"a".repeat(240)}${index}`);
      })(),
    ).rejects.toBe(reason);
  }, 5_000);
});
