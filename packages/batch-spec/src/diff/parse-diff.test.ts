import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromByteText, toByteText } from "../template/byte-text.ts";
import { changedFilesOf, mergeDiffs, parseDiff, printDiff } from "./parse-diff.ts";

const environment = {
  ...process.env,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.com",
};

function git(directory: string, args: readonly string[], input?: Uint8Array): Buffer {
  return execFileSync("git", ["-C", directory, ...args], {
    env: environment,
    maxBuffer: 1 << 28,
    ...(input && { input }),
  });
}

function filesOf(diff: string | Uint8Array) {
  const { files, problem } = parseDiff(diff);
  if (!files) throw new Error(problem);
  return files;
}

/** A repository with a commit and, in its index, changes of every kind. */
async function changedRepository(directory: string): Promise<void> {
  git(directory, ["init", "--quiet", "--initial-branch=main"]);
  const write = async (name: string, content: string | Uint8Array) => {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), content);
  };
  const lines = Array.from({ length: 40 }, (_, index) => `line ${index}\n`).join("");
  await write("a/x", lines);
  await write("b/x", lines);
  await write("mode.sh", "#!/bin/sh\n");
  await write("deleted", "unlike\nall\nothers\n");
  await write("empty-renamed", "");
  await write("old name", lines);
  await write("rename-only", lines.toUpperCase());
  await write(
    "binary",
    Uint8Array.from({ length: 2000 }, (_, index) => (index * 7) % 256),
  );
  await write("binary-deleted", Uint8Array.from([0, 1, 2, 255]));
  await write("no-newline", "x");
  await write("crlf", "a\r\nb\r\n");
  await write("dashes", "-- a\n++ b\n--- c\n+++ d\n@@ -1 +1 @@\ndiff --git x x\n");
  await write("latin1", Uint8Array.from([0x61, 0xe9, 0x0a]));
  await write('quote"\n\t\\ü', "1\n");
  await write("diff --git a b", "1\n");
  git(directory, ["add", "--all"]);
  git(directory, ["commit", "--quiet", "--message=first"]);
  await write("a/x", lines.replace("line 3\n", "line three\n").replace("line 30\n", ""));
  await write("b/x", `${lines}more\n`);
  await chmod(join(directory, "mode.sh"), 0o755);
  await rm(join(directory, "deleted"));
  await rm(join(directory, "empty-renamed"));
  await rename(join(directory, "old name"), join(directory, "new name"));
  await write("new name", lines.replace("line 9\n", "line nine\n"));
  await rename(join(directory, "rename-only"), join(directory, "renamed-only"));
  await write(
    "binary",
    Uint8Array.from({ length: 2000 }, (_, index) => (index * 11) % 256),
  );
  await rm(join(directory, "binary-deleted"));
  await write(
    "binary-added",
    Uint8Array.from({ length: 300 }, (_, index) => index % 256),
  );
  await write("no-newline", "y");
  await write("crlf", "a\r\nc\r\n");
  await write("dashes", "-- a!\n++ b!\n--- c!\n+++ d!\n@@ -1 +1 @@!\ndiff --git x y\n");
  await write("latin1", Uint8Array.from([0x61, 0xe8, 0x0a]));
  await write('quote"\n\t\\ü', "2\n");
  await write("diff --git a b", "2\n");
  await write("empty added", "");
  await write("b/empty", "");
  await write(" leading and trailing ", "1\n");
  await write("a b/a b", "1\n");
  await symlink("a/x", join(directory, "link"));
  git(directory, ["add", "--all"]);
}

describe("diffs of git", () => {
  test.each([
    ["without prefixes", ["--no-prefix"], "-p0"],
    ["with prefixes", ["--src-prefix=a/", "--dst-prefix=b/"], "-p1"],
  ])("every kind of change is read and printed unchanged, %s", async (_, options, strip) => {
    await using directory = await temporaryDirectory();
    await changedRepository(directory.path);
    const diff = git(directory.path, ["diff", "--cached", "--binary", "--find-renames", ...options]);
    const files = filesOf(diff);
    expect(Buffer.from(printDiff(files)).equals(diff)).toBe(true);

    const named = git(directory.path, ["diff", "--cached", "--find-renames", "--name-status", "-z"])
      .toString()
      .split("\0");
    const expected: string[] = [];
    for (let index = 0; index + 1 < named.length; index += 2) {
      const status = named[index]?.[0] ?? "";
      if (status === "R") index += 1;
      expected.push(`${status} ${named[index + 1]}`);
    }
    const letters = { added: "A", deleted: "D", modified: "M", renamed: "R", copied: "C" };
    expect(files.map(({ kind, newPath }) => `${letters[kind]} ${newPath}`)).toEqual(expected);

    const byName = new Map(files.map((file) => [file.newPath, file]));
    expect(byName.get("mode.sh")).toMatchObject({ oldMode: "100644", newMode: "100755", addedLines: 0 });
    expect(byName.get("a/x")).toMatchObject({ addedLines: 1, deletedLines: 2 });
    expect(byName.get("new name")).toMatchObject({ kind: "renamed", oldPath: "old name" });
    expect(byName.get("binary")).toMatchObject({ isBinary: true, kind: "modified" });
    expect(byName.get("link")).toMatchObject({ newMode: "120000" });
    expect(changedFilesOf(files).deleted).toEqual(["binary-deleted", "deleted"]);

    // Each half alone, in any order, makes the same tree as the whole.
    const tree = git(directory.path, ["write-tree"]).toString();
    git(directory.path, ["reset", "--quiet", "--hard"]);
    for (const half of [files.filter((_, index) => index % 2 === 1), files.filter((_, index) => index % 2 === 0)]) {
      git(directory.path, ["apply", "--index", strip], printDiff(half));
    }
    expect(git(directory.path, ["write-tree"]).toString()).toBe(tree);
    expect(await readFile(join(directory.path, 'quote"\n\t\\ü'), "utf8")).toBe("2\n");
  });

  test("diffs of different files are merged, and two diffs of one file are a problem", () => {
    const one = filesOf("diff --git a a\nold mode 100644\nnew mode 100755\n");
    const two = filesOf("diff --git b b\nold mode 100644\nnew mode 100755\n");
    expect(mergeDiffs([one, two]).files).toHaveLength(2);
    expect(mergeDiffs([one, two, one]).problem).toBe('"a" is changed by two diffs');
  });

  test("an empty file that is deleted has its name from the header", () => {
    const files = filesOf("diff --git a b/c a b/c\ndeleted file mode 100644\nindex e69de29..0000000\n");
    expect(files).toMatchObject([{ kind: "deleted", oldPath: "a b/c", newPath: "a b/c" }]);
  });

  test("a diff without a last line break gets one", () => {
    const files = filesOf("diff --git a a\n--- a\n+++ a\n@@ -1 +1 @@\n-x\n+y");
    expect(new TextDecoder().decode(printDiff(files))).toMatch(/\+y\n$/);
    expect(filesOf("")).toEqual([]);
  });
});

describe("hostile diffs", () => {
  const hunk = "@@ -1 +1 @@\n-x\n+y\n";
  test.each([
    ["text before it", "hello\n", 'a section must begin with "diff --git"'],
    ["text after a hunk", `diff --git a a\n--- a\n+++ a\n${hunk}hello\n`, 'unexpected line "hello"'],
    ["a hunk that is too short", "diff --git a a\n--- a\n+++ a\n@@ -1,5 +1 @@\n-x\n+y\n", "ends in the middle"],
    [
      "a hunk that hides a section",
      `diff --git a a\n--- a\n+++ a\n@@ -1,9 +1,9 @@\n-x\n+y\ndiff --git b b\n`,
      "unexpected line in a hunk",
    ],
    ["a name that leaves the repository", "diff --git ../a ../a\nnew file mode 100644\n", "not the name of a file"],
    ["an absolute name", "diff --git /a /a\nnew file mode 100644\n", "not the name of a file"],
    ["a file in .git", "diff --git x/.GIT/config x/.GIT/config\nnew file mode 100644\n", "inside of .git"],
    [
      "a hidden .git",
      'diff --git ".g\\342\\200\\214it/a" ".g\\342\\200\\214it/a"\nnew file mode 100644\n',
      "inside of .git",
    ],
    ["two names without a rename", `diff --git a b\n--- a\n+++ b\n${hunk}`, "names two files without a rename"],
    ["names that contradict each other", `diff --git a a\n--- b\n+++ b\n${hunk}`, "names two files without a rename"],
    [
      "a rename with other names",
      `diff --git a b\nrename from a\nrename to b\n--- a\n+++ c\n${hunk}`,
      "contradict each other",
    ],
    [
      "a new file with an old name",
      `diff --git a a\nnew file mode 100644\n--- a\n+++ a\n${hunk}`,
      "contradict each other",
    ],
    [
      "a binary file without content",
      "diff --git a a\nindex 1..2 100644\nBinary files a and a differ\n",
      "make the diff with --binary",
    ],
    [
      "a damaged binary patch",
      "diff --git a a\nindex 1..2 100644\nGIT binary patch\nliteral 3\n%%% no\n",
      "unexpected line in a binary patch",
    ],
    ["an unknown mode", "diff --git a a\nold mode x\nnew mode 100755\n", "is not a mode"],
    ["a damaged quotation", 'diff --git "a\\q" "a\\q"\nnew file mode 100644\n', "can't be told apart"],
    ["names that can't be told apart", "diff --git a bc\nnew file mode 100644\n", "can't be told apart"],
  ])("a diff with %s is refused", (_, diff, problem) => {
    expect(parseDiff(diff).problem).toContain(problem);
  });

  test("size and number of files are limited", () => {
    const limits = { maximumBytes: 200, maximumFiles: 2 };
    const section = "diff --git a a\nold mode 100644\nnew mode 100755\n";
    expect(parseDiff("x".repeat(201), limits).problem).toBe("the diff is larger than 200 bytes");
    expect(parseDiff(section.repeat(3), limits).problem).toBe("more than 2 files");
  });

  test("long lines and many files take linear time", () => {
    const line = "x".repeat(5_000_000);
    expect(
      filesOf(`diff --git a a\nnew file mode 100644\n--- /dev/null\n+++ a\n@@ -0,0 +1 @@\n+${line}\n`),
    ).toHaveLength(1);
    const many = Array.from({ length: 20_000 }, (_, i) => `diff --git f${i} f${i}\nold mode 100644\nnew mode 100755\n`);
    expect(filesOf(many.join(""))).toHaveLength(20_000);
    expect(parseDiff(`diff --git ${"a ".repeat(1_000_000)}\n`).problem).toBeTypeOf("string");
  });

  test("any text gives files that print to the same bytes, or a problem", () => {
    const part = fc.constantFrom(
      "diff --git a a\n",
      'diff --git "a\\n" "a\\n"\n',
      "diff --git a/x b/x\n",
      "--- a\n",
      "+++ a\n",
      "--- /dev/null\n",
      "+++ /dev/null\n",
      "@@ -1 +1 @@\n",
      "@@ -0,0 +1 @@\n",
      "-x\n",
      "+y\n",
      " z\n",
      "\\ No newline at end of file\n",
      "new file mode 100644\n",
      "deleted file mode 100644\n",
      "rename from a\n",
      "rename to b\n",
      "GIT binary patch\n",
      "literal 1\n",
      "IcmZ\n",
      "\n",
      "index 1..2\n",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string()), { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        const { files, problem } = parseDiff(text);
        expect(files === undefined).toBe(problem !== undefined);
        if (files) {
          const printed = fromByteText(toByteText(printDiff(files)));
          expect(text === "" || text.endsWith("\n") ? text : `${text}\n`).toBe(printed);
        }
      }),
      { numRuns: 500 },
    );
  });
});
