import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TreeEntry } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import type { Workplace, WorkplaceOptions } from "./workplace.ts";

const never = new AbortController().signal;
const file = (path: string, content: string) => ({ path, content: Buffer.from(content), modifiedAt: undefined });

/**
 * Tests the contract about the workspace, on any kind of storage. Part of `describeRuntime`.
 * @param options.keepsPipes `false` if a kernel in user space handles named pipes, so that they are not in the
 * workspace.
 */
export function describeWorkspace(
  open: (options?: Partial<WorkplaceOptions>) => Promise<Workplace>,
  { keepsPipes }: { readonly keepsPipes: boolean },
): void {
  const pipe = keepsPipes ? ["pipe"] : [];
  const mkfifo = keepsPipes ? "mkfifo pipe" : "true";
  const seen = async (place: Workplace, path = "") => {
    const found: Record<string, string> = {};
    const options = { start: true, advance: () => true, maximumEntries: 1000, maximumDepth: 20, signal: never };
    for await (const entry of place.sandbox.walk(path, options)) found[entry.path.toString()] = await shown(entry);
    return found;
  };

  describe("a workspace", () => {
    it("starts as a copy of the checkout, which no step changes", async () => {
      await using directory = await temporaryDirectory();
      const checkout = join(directory.path, "checkout");
      await mkdir(join(checkout, "src/deep"), { recursive: true });
      await writeFile(join(checkout, "src/deep/a"), "original\n");
      await writeFile(join(checkout, "run"), "#!/bin/sh\necho ran\n");
      await chmod(join(checkout, "run"), 0o755);
      await symlink("src/deep/a", join(checkout, "link"));
      await using place = await open({ workspace: { checkout } });

      const { stdout, stderr } = await place.run(
        `./run; cat link; readlink link; [ -x src/deep/a ] || echo plain
         echo changed > src/deep/a; rm run; mv src moved; cat moved/deep/a; rm -r moved; ls`,
      );

      expect(stdout + stderr).toBe("ran\noriginal\nsrc/deep/a\nplain\nchanged\nlink\n");
      expect(await readFile(join(checkout, "src/deep/a"), "utf8")).toBe("original\n");
      expect(await readdir(checkout)).toEqual(["link", "run", "src"]);
    });

    it("contains the plan's files in addition to the checkout, accessible to every user", async () => {
      await using directory = await temporaryDirectory();
      await writeFile(join(directory.path, "config"), "of the checkout\n");
      const modifiedAt = new Date("2020-02-02T02:02:02Z");
      const files = [
        file("config", "of the plan\n"),
        { path: "a/b/late", content: pieces("one ", "two\n"), modifiedAt },
      ];
      await using place = await open({ workspace: { checkout: directory.path, files } });

      const { stdout } = await place.run("cat config a/b/late; stat -c '%a %Y' a/b/late; stat -c %a a/b");

      expect(stdout).toBe(`of the plan\none two\n777 ${modifiedAt.getTime() / 1000}\n777\n`);
    });

    it("has read-only files for all steps, and a step's own files only while that step runs", async () => {
      const readOnlyFiles = [{ path: "certificates/ca.pem", content: "for all\n", executable: false }];
      const files = [{ path: "secrets/x1/TOKEN", content: "for one\n", executable: false }];
      await using place = await open({ workspace: { readOnlyFiles } });

      const first = await place.run("cat /airlock/certificates/ca.pem /airlock/secrets/x1/TOKEN", { files });
      const second = await place.run(
        "cat /airlock/certificates/ca.pem; ls -R /airlock; find / -name TOKEN 2>/dev/null",
        {
          key: "second",
        },
      );

      expect(first.stdout).toBe("for all\nfor one\n");
      expect(second.stdout).toContain("for all\n");
      expect(second.stdout).toContain("second.sh");
      expect(second.stdout).not.toMatch(/TOKEN|x1|step\.1/);
    });

    it("accepts files between steps, and does not write through links", async () => {
      await using directory = await temporaryDirectory();
      const outside = join(directory.path, "outside");
      await mkdir(outside);
      await using place = await open();
      await place.run(`ln -s '${outside}' dir; ln -s '${outside}/new' link; ${mkfifo}; mkdir taken; ln -s ../.. up`);

      for (const path of ["dir/x", "link", ...pipe, "taken", "up/x", "../x", "/etc/x", "", "a/../../x", "nul\0"]) {
        const putting = place.sandbox.putFiles([file(path, "evil")], { signal: never });
        await expect(putting, path).rejects.toMatchObject({ reason: "checkout-invalid" });
      }
      await place.put("new/file", "fine\n");

      expect(await readdir(outside)).toEqual([]);
      expect((await place.run("cat new/file; ls")).stdout).toBe(
        `fine\n${["dir", "link", "new", ...pipe, "taken", "up"].join("\n")}\n`,
      );
    });

    it("returns single files, and nothing that a link leads to", async () => {
      await using place = await open();
      await place.run(
        `echo content > file; mkdir dir; echo deep > dir/file; ln -s file link; ln -s /etc/passwd out; ln -s dir dirlink
         mkfifo pipe; head -c 5000 /dev/zero > large`,
      );
      const read = (path: string) => place.sandbox.readFile(path, { maximumBytes: 4096, signal: never });

      expect((await read("file"))?.toString()).toBe("content\n");
      expect((await read("dir/file"))?.toString()).toBe("deep\n");
      for (const path of ["link", "out", "dirlink/file", "pipe", "dir", "absent", "absent/file", "file/below"]) {
        expect(await read(path), path).toBeNull();
      }
      await expect(read("large")).rejects.toMatchObject({ code: "file-too-large" });
    });

    it("lets the caller remove single files, and nothing that a link leads to", async () => {
      await using place = await open();
      await place.run("mkdir dir; echo x > dir/kept; ln -s dir link; ln -s dir/kept toKept; echo x > gone");

      for (const path of ["gone", "absent", "link/kept", "toKept", "dir"]) {
        await place.sandbox.removeFile(path, { signal: never });
      }

      expect(await seen(place)).toEqual({ dir: "directory", "dir/kept": "file 644 x\n", link: "link dir" });
    });

    it("is walked in order, limited to the requested paths, without following links", async () => {
      await using place = await open();
      await place.run(
        `mkdir -p b/c .git/x; echo 1 > b/c/1; echo 2 > b/2; echo secret > .git/x/y; ln -s /etc etc; ln -s b/c up; ${mkfifo}
         printf no > "$(printf 'odd\\377name')"; chmod 755 b/2`,
      );
      const names: string[] = [];
      const walk = place.sandbox.walk<number>("", {
        start: 0,
        advance: (depth, name, isDirectory) => (name.toString() === ".git" && isDirectory ? null : depth + 1),
        maximumEntries: 100,
        maximumDepth: 10,
        signal: never,
      });
      for await (const entry of walk)
        names.push(`${entry.state} ${entry.path.toString("latin1")} ${await shown(entry)}`);

      expect(names).toEqual([
        "1 b directory",
        "2 b/2 file 755 2\n",
        "2 b/c directory",
        "3 b/c/1 file 644 1\n",
        "1 etc link /etc",
        "1 odd\xffname file 644 no",
        ...pipe.map((name) => `1 ${name} other`),
        "1 up link b/c",
      ]);
      expect(await seen(place, "b/c")).toEqual({ "1": "file 644 1\n" });
      for (const path of ["up", "etc", "absent", "b/2", ".."]) expect(await seen(place, path), path).toEqual({});
    });

    it("is walked no deeper and no longer than allowed", async () => {
      await using place = await open();
      await place.run("mkdir -p a/b/c; for i in 1 2 3 4 5 6; do echo > a/$i; done");
      const walk = async (maximumEntries: number, maximumDepth: number) => {
        const names: string[] = [];
        const options = { start: true, advance: () => true, maximumEntries, maximumDepth, signal: never };
        for await (const { path } of place.sandbox.walk("", options)) names.push(path.toString());
        return names;
      };

      expect(await walk(100, 0)).toEqual(["a"]);
      expect(await walk(100, 1)).toEqual(["a", "a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/b"]);
      await expect(walk(5, 10)).rejects.toMatchObject({ code: "too-many-files" });
    });

    it("stays unchanged after the sandbox was stopped, and can then only be read", async () => {
      await using place = await open();
      await place.run("echo result > out; (while :; do echo more >> out; done) &");

      await place.sandbox.stop({ signal: never });
      await place.sandbox.stop({ signal: never });

      const before = await place.read("out");
      expect(before).toMatch(/^result\n/);
      expect(Object.keys(await seen(place))).toEqual(["out"]);
      expect(await place.read("out")).toBe(before);
      await expect(place.put("x", "x")).rejects.toMatchObject({ code: "sandbox-misused" });
      await expect(place.sandbox.removeFile("out", { signal: never })).rejects.toMatchObject({
        code: "sandbox-misused",
      });
      await expect(place.run("true")).rejects.toMatchObject({ code: "sandbox-misused" });
    });

    it("can't be accessed by the caller while a step runs", async () => {
      await using place = await open();
      const stop = new AbortController();
      const started = Promise.withResolvers<void>();
      const running = place.start("echo up; sleep 1000", { signal: stop.signal, output: () => started.resolve() });
      running.catch(() => {});
      await started.promise;

      for (const call of [
        () => place.put("x", "x"),
        () => place.read("x"),
        () => place.list(),
        () => place.sandbox.removeFile("x", { signal: never }),
        () => place.run("true"),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: "sandbox-misused" });
      }

      stop.abort(new Error("enough"));
      await expect(running).rejects.toThrow("enough");
      expect((await place.run("echo usable; ls")).stdout).toBe("usable\n");
    });

    it("is removed with its sandbox, and the checkout is not", async () => {
      await using directory = await temporaryDirectory();
      await writeFile(join(directory.path, "kept"), "x");
      const place = await open({ workspace: { checkout: directory.path } });
      await place.run("rm kept; echo > made");

      await place[Symbol.asyncDispose]();

      await expect(place.read("made")).rejects.toMatchObject({ reason: "runtime" });
      await expect(place.run("true")).rejects.toMatchObject({ reason: "runtime" });
      expect((await stat(join(directory.path, "kept"))).isFile()).toBe(true);
      expect(await readdir(directory.path)).toEqual(["kept"]);
    });

    it("that can't be created leaves nothing behind", async () => {
      const files = [file("../outside", "x")];

      await expect(open({ workspace: { files } })).rejects.toMatchObject({ reason: "checkout-invalid" });
    });
  });
}

async function shown(entry: TreeEntry<unknown>): Promise<string> {
  const { kind, mode } = entry.stats;
  if (kind === "link") return `link ${(await entry.readLink()).toString()}`;
  if (kind !== "file") return kind;
  const pieces: Buffer[] = [];
  for await (const bytes of entry.contents()) pieces.push(bytes);
  return `file ${mode.toString(8)} ${Buffer.concat(pieces).toString("latin1")}`;
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}
