import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  hostileRepositoryNames,
  makeHostileRepository,
  makeRepository,
  runGit,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { gitToken, WorkspaceBench } from "../testing/workspace-bench.ts";

const isRoot = process.getuid?.() === 0;

let stack: AsyncDisposableStack;
let dir: string;
let repositoriesDir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  repositoriesDir = join(dir, "served");
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir }));
});

afterEach(async () => {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const left = mounts.includes(dir);
  if (left) execFileSync("sh", ["-c", `awk '{print $5}' /proc/self/mountinfo | grep ^${dir} | tac | xargs umount`]);
  await stack.disposeAsync();
  expect(left).toBe(false);
});

const repository = (name = "team/app") => join(repositoriesDir, name);

/** Runs git in the workspace with its configuration there, as a step would. */
const inWorkspace = (workspaceDir: string, ...args: string[]) =>
  execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd: workspaceDir, encoding: "utf8" });

const filesOf = (root: string): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const kinds = [
  { overlays: true, handsOutLayers: false },
  { overlays: true, handsOutLayers: true },
  { overlays: false, handsOutLayers: false },
];

describe.each(kinds.filter(({ overlays }) => !overlays || isRoot))(
  "a workspace (overlays: $overlays, from layers: $handsOutLayers)",
  (kind) => {
    const bench = (more = {}) => WorkspaceBench.create({ dir: join(dir, "executor"), instance, ...kind, ...more });

    it("contains a repository in which git works, with a bare name as its origin", async () => {
      const { head } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a.txt", content: "a\n" }] },
        { message: "two", files: [{ path: "dir/b.sh", content: "b\n", kind: "executable" }] },
      ]);
      const executor = await bench();

      await using workspace = await executor.prepare({ repository: "team/app", commit: head });

      expect(inWorkspace(workspace.dir, "rev-parse", "HEAD").trim()).toBe(head);
      expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
      expect(inWorkspace(workspace.dir, "log", "--format=%s").trim()).toBe("two");
      expect(inWorkspace(workspace.dir, "remote", "get-url", "origin").trim()).toBe("team/app");
      await writeFile(join(workspace.dir, "a.txt"), "changed\n");
      expect(inWorkspace(workspace.dir, "diff", "--stat")).toContain("a.txt");
      inWorkspace(workspace.dir, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "a step's own commit");
      expect((await stat(join(workspace.dir, "dir/b.sh"))).mode & 0o111).not.toBe(0);
    });

    it("lets each job change its own copy, and starts the next one from the repository's state", async () => {
      const { head } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a.txt", content: "a\n" }] },
      ]);
      const executor = await bench();
      await using first = await executor.prepare({ repository: "team/app", commit: head });
      await using second = await executor.prepare({ repository: "team/app", commit: head });

      await writeFile(join(first.dir, "a.txt"), "changed\n");
      await writeFile(join(first.dir, ".git", "config"), "[core]\n\tfsmonitor = touch /tmp/airlock-owned\n");
      await writeFile(join(first.dir, "new"), "");
      await using third = await executor.prepare({ repository: "team/app", commit: head });

      for (const { dir: other } of [second, third]) {
        expect(await readFile(join(other, "a.txt"), "utf8")).toBe("a\n");
        expect(existsSync(join(other, "new"))).toBe(false);
        expect(await readFile(join(other, ".git", "config"), "utf8")).not.toContain("fsmonitor");
      }
    });

    it("needs no network if this machine has the commit", async () => {
      const { head } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a.txt", content: "a\n" }] },
      ]);
      const executor = await bench();
      await (await executor.prepare({ repository: "team/app", commit: head }))[Symbol.asyncDispose]();
      const asked = instance.gitRequests.length;

      await using workspace = await executor.prepare({ repository: "team/app", commit: head });
      // Another executor on the same data directory, as after a restart.
      const restarted = await bench();
      await using again = await restarted.prepare({ repository: "team/app", commit: head });

      expect(instance.gitRequests).toHaveLength(asked);
      expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
      expect(inWorkspace(again.dir, "status", "--porcelain")).toBe("");
    });

    it("switches from the checkout of one commit to another", async () => {
      const file = (path: string, content: string) => ({ path, content });
      const { commits } = await makeRepository(repository(), [
        { message: "one", files: [file("a", "1\n"), file("same", "s\n"), file("dir/x", "x\n")] },
        { message: "two", files: [file("a", "2\n"), file("b/c", "new\n")] },
        { message: "three", files: [file("a", "3\n")] },
      ]);
      const executor = await bench();
      for (const index of [0, 2, 1, 0]) {
        await using workspace = await executor.prepare({ repository: "team/app", commit: commits[index] ?? "" });

        expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe(`${index + 1}\n`);
        expect(existsSync(join(workspace.dir, "b"))).toBe(index > 0);
        expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
        expect(inWorkspace(workspace.dir, "rev-parse", "HEAD").trim()).toBe(commits[index]);
        expect(inWorkspace(workspace.dir, "log", "--format=%s").trim().split("\n")).toHaveLength(1);
      }
    });

    it("has history, tags, a sparse tree and its own directory if the job requests them", async () => {
      const { head } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a/1", content: "1" }], tag: "v1" },
        { message: "two", files: [{ path: "b/2", content: "2" }] },
      ]);
      const executor = await bench();
      const request = { repository: "team/app", commit: head };

      await using deep = await executor.prepare({ ...request, depth: null, tags: "all" });
      await using part = await executor.prepare({ ...request, sparse: ["a/*"] });
      await using below = await executor.prepare({ ...request, directory: "repository/here" });

      expect(inWorkspace(deep.dir, "log", "--format=%s").trim()).toBe("two\none");
      expect(inWorkspace(deep.dir, "tag").trim()).toBe("v1");
      expect(await readdir(part.dir)).toEqual([".git", "a"]);
      expect(inWorkspace(part.dir, "status", "--porcelain")).toBe("");
      expect(await readFile(join(below.dir, "repository/here/b/2"), "utf8")).toBe("2");
    });

    it("contains the new commit of a tag that moved", async () => {
      const { head, path } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a", content: "" }], tag: "v1" },
      ]);
      const executor = await bench();
      const request = { repository: "team/app", commit: head, tags: "all" } as const;
      await (await executor.prepare(request))[Symbol.asyncDispose]();
      await runGit(path, ["tag", "v2", head]);

      await using workspace = await executor.prepare(request);

      expect(inWorkspace(workspace.dir, "tag").trim().split("\n")).toEqual(["v1", "v2"]);
    });

    it("works with SHA-256 repositories", async () => {
      const made = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }], {
        objectFormat: "sha256",
      });
      const executor = await bench();

      await using workspace = await executor.prepare({ repository: "team/app", commit: made.head });

      expect(inWorkspace(workspace.dir, "status", "--porcelain")).toBe("");
    });

    it("contains no credentials and no path of the host", async () => {
      const { commits } = await makeRepository(repository(), [
        { message: "one", files: [{ path: "a", content: "a" }] },
        { message: "two", files: [{ path: "a", content: "b" }] },
      ]);
      const executor = await bench();
      for (const commit of commits) {
        await using workspace = await executor.prepare({ repository: "team/app", commit });
        for (const file of filesOf(workspace.dir)) {
          const bytes = await readFile(file);
          expect(bytes.includes(gitToken), file).toBe(false);
          expect(bytes.includes(dir), file).toBe(false);
          expect(bytes.includes("127.0.0.1"), file).toBe(false);
        }
        expect(existsSync(join(workspace.dir, ".git/objects/info/alternates"))).toBe(false);
      }
      expect(instance.gitRequests.every(({ headers }) => headers.authorization === `Bearer ${gitToken}`)).toBe(true);
    });

    it("shares no file with the mirror, not even by a hard link", async () => {
      const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
      const executor = await bench();

      await using workspace = await executor.prepare({ repository: "team/app", commit: head });

      for (const file of filesOf(workspace.dir)) expect((await lstat(file)).nlink, file).toBe(1);
    });

    it.each(hostileRepositoryNames)(
      "checks out what a hostile author pushed without running or following any of it: %s",
      async (name) => {
        const { head, path } = await makeHostileRepository(name, repository(name));
        const executor = await bench();
        const attempt = executor.prepare({ repository: name, commit: head });

        const result = await attempt.catch((error: unknown) => error);

        expect(existsSync("/tmp/airlock-owned")).toBe(false);
        // Names that could inject options through submodules are rejected. Everything else becomes ordinary files.
        if (name === "submodule-injection") {
          expect(result).toMatchObject({ reason: "checkout-invalid" });
          return;
        }
        await using workspace = await attempt;
        const listed = await runGit(path, ["ls-tree", "-r", "--name-only", "-z", "HEAD"]);
        expect(listed.length).toBeGreaterThan(0);
        expect(await readFile(join(workspace.dir, "README.md"), "utf8")).toBe("# Hostile\n");
        if (name === "leaving-symlinks") expect(await readlink(join(workspace.dir, "passwd"))).toBe("/etc/passwd");
        if (name === "lfs-pointers") expect((await stat(join(workspace.dir, "large.bin"))).size).toBeLessThan(200);
        if (name === "submodules") expect(await readdir(join(workspace.dir, "lib"))).toEqual([]);
        if (name === "strange-names")
          expect(await readFile(join(workspace.dir, "new\nline"), "utf8")).toBe("newline\n");
      },
    );

    it("does not write the job's files through a link of the repository", async () => {
      const outside = join(dir, "outside");
      await mkdir(outside);
      const { head } = await makeRepository(repository(), [
        {
          message: "links",
          files: [
            { path: "dir", content: outside, kind: "symlink" },
            { path: "file", content: join(outside, "file"), kind: "symlink" },
          ],
        },
      ]);
      const executor = await bench();
      for (const path of ["dir/x", "file", "dir/../x", "/etc/x", "../x"]) {
        const files = [{ path, content: Buffer.from("evil"), modifiedAt: undefined }];

        await expect(executor.prepare({ repository: "team/app", commit: head }, { files })).rejects.toMatchObject({
          reason: "checkout-invalid",
        });
      }
      expect(await readdir(outside)).toEqual([]);
    });

    it("contains the job's files with their times and readable for every user, whatever this process's umask", async () => {
      const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
      const executor = await bench();
      const modifiedAt = new Date("2020-02-03T04:05:06Z");
      const files = [
        { path: "deep/er/script.sh", content: Buffer.from("#!/bin/sh\n"), modifiedAt },
        { path: "a", content: Buffer.from("in place of the repository's"), modifiedAt: undefined },
      ];

      await using workspace = await executor.prepare({ repository: "team/app", commit: head }, { files });

      const script = await stat(join(workspace.dir, "deep/er/script.sh"));
      expect([script.mode & 0o7777, script.mtime]).toEqual([0o777, modifiedAt]);
      expect((await stat(join(workspace.dir, "deep/er"))).mode & 0o777).toBe(0o777);
      expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe("in place of the repository's");
    });

    // A workspace that is not a mount has no mount flags.
    if (kind.overlays) {
      it("gives no power to setuid files and devices that a step creates in it", async () => {
        const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
        const executor = await bench();
        for (const diskBytes of [undefined, 20 * 1024 * 1024]) {
          await using workspace = await executor.prepare({ repository: "team/app", commit: head }, { diskBytes });

          const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
          const own = mounts.filter((line) => line.includes(join(workspace.workspace.readOnlyDir, "..")));
          expect(own).toHaveLength(diskBytes === undefined ? 1 : 2);
          for (const line of own) expect(line).toMatch(/nosuid,nodev/);
          // A set-user-ID program of another user runs as its caller.
          execFileSync("sh", ["-c", `cp "$(command -v id)" tool; chown 1234 tool; chmod 4755 tool`], {
            cwd: workspace.dir,
          });
          expect(execFileSync(join(workspace.dir, "tool"), ["-u"], { encoding: "utf8" }).trim()).toBe("0");
        }
      });
    }

    it("is removed completely, whatever a step left in it, and nothing outside is removed", async () => {
      const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
      const outside = join(dir, "outside");
      await mkdir(outside);
      await writeFile(join(outside, "kept"), "");
      const executor = await bench();
      const workspace = await executor.prepare({ repository: "team/app", commit: head });
      await symlink(outside, join(workspace.dir, "link"));
      execFileSync(
        "sh",
        [
          "-c",
          'd=$(printf "d%.0s" $(seq 200)); i=0; while [ $i -lt 60 ]; do mkdir $d; cd -P $d 2>/dev/null || cd $d; i=$((i+1)); done; cd /; mkfifo "$W/fifo"; mkdir "$W/closed"; touch "$W/closed/x"; chmod 0 "$W/closed"',
        ],
        { cwd: workspace.dir, env: { ...process.env, W: workspace.dir } },
      );

      await workspace[Symbol.asyncDispose]();
      await executor.settled();

      expect(await readdir(join(dir, "executor", "workspaces", "bench"))).toEqual([".trash"]);
      expect(await readdir(join(dir, "executor", "workspaces", "bench", ".trash"))).toEqual([]);
      expect(await readdir(outside)).toEqual(["kept"]);
    });

    it("serves two jobs of one repository at the same time with a single fetch", async () => {
      const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
      const executor = await bench();
      const request = { repository: "team/app", commit: head };

      const workspaces = await Promise.all([1, 2, 3].map(() => executor.prepare(request)));

      const fetches = instance.gitRequests.filter(({ path }) => path.endsWith("/info/refs"));
      expect(fetches).toHaveLength(1);
      for (const workspace of workspaces) await workspace[Symbol.asyncDispose]();
    });

    it("keeps its caches under their limit, without removing what is in use", async () => {
      const one = await makeRepository(repository("one"), [
        { message: "one", files: [{ path: "a", content: "a".repeat(100_000) }] },
      ]);
      const two = await makeRepository(repository("two"), [
        { message: "two", files: [{ path: "a", content: "b".repeat(100_000) }] },
      ]);
      const executor = await bench({ cacheBytes: 1000 });
      await (await executor.prepare({ repository: "one", commit: one.head }))[Symbol.asyncDispose]();
      await using held = await executor.prepare({ repository: "two", commit: two.head });

      await executor.repositories.evict(AbortSignal.timeout(10_000));

      const left = filesOf(join(dir, "executor", "repositories")).filter((file) => file.endsWith("/tree/a"));
      expect(left).toHaveLength(1);
      expect(await readFile(join(held.dir, "a"), "utf8")).toHaveLength(100_000);
    });
  },
);

describe("fetching", () => {
  const bench = (more = {}) =>
    WorkspaceBench.create({ dir: join(dir, "executor"), instance, overlays: false, ...more });
  const someCommit = "1234567890123456789012345678901234567890";

  it("reports a missing commit or repository as the job's fault", async () => {
    await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    const executor = await bench();

    await expect(executor.prepare({ repository: "team/app", commit: someCommit })).rejects.toMatchObject({
      reason: "checkout-invalid",
    });
    await expect(executor.prepare({ repository: "team/none", commit: someCommit })).rejects.toMatchObject({
      reason: "checkout-invalid",
    });
    const entry = executor.sink.entries.find(({ key }) => key === "setup.git.fetch");
    expect(entry?.text).toContain("not our ref");
  });

  it("reports an instance that does not answer as a temporary error", async () => {
    await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    instance.intervene = ({ path }) => (path.includes("/git/") ? { status: 503, body: "busy" } : undefined);
    const executor = await bench();

    await expect(executor.prepare({ repository: "team/app", commit: someCommit })).rejects.toMatchObject({
      reason: "checkout-unavailable",
    });
  });

  it("does not follow redirects, so that credentials stay with the instance", async () => {
    const other = stack.use(await ScriptedInstance.start({ repositoriesDir }));
    const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    instance.redirectGitTo = other.url;
    const executor = await bench();

    await expect(executor.prepare({ repository: "team/app", commit: head })).rejects.toThrow();

    expect(other.gitRequests).toEqual([]);
  });

  it("refuses a commit with too many files or bytes before it writes any", async () => {
    const files = Array.from({ length: 200 }, (_, i) => ({ path: `f${i}`, content: `${i}` }));
    const { head } = await makeRepository(repository(), [{ message: "many", files }]);
    const executor = await bench({ maximumFiles: 100 });
    const small = await WorkspaceBench.create({
      dir: join(dir, "small"),
      instance,
      overlays: false,
      maximumBytes: 300,
    });

    await expect(executor.prepare({ repository: "team/app", commit: head })).rejects.toThrow("more than 100 files");
    await expect(small.prepare({ repository: "team/app", commit: head })).rejects.toThrow("larger than");
    // The refusal also holds for a second attempt and after a restart.
    await expect(executor.prepare({ repository: "team/app", commit: head })).rejects.toThrow("more than 100 files");
    const restarted = await bench({ maximumFiles: 100 });
    await expect(restarted.prepare({ repository: "team/app", commit: head })).rejects.toThrow("more than 100 files");
  });

  it("refuses a few kilobytes of trees that name billions of files", async () => {
    const { path } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    let tree = await runGit(path, ["rev-parse", "HEAD^{tree}"]);
    for (let level = 0; level < 10; level += 1) {
      const entries = Array.from({ length: 10 }, (_, i) => `040000 tree ${tree}\td${i}`).join("\n");
      tree = await runGit(path, ["mktree"], `${entries}\n`);
    }
    const bomb = await runGit(path, ["commit-tree", "-m", "bomb", tree]);
    const executor = await bench();

    await expect(executor.prepare({ repository: "team/app", commit: bomb })).rejects.toThrow("more than 100000 files");
  });

  it("clones again if the mirror is damaged", async () => {
    const { commits } = await makeRepository(repository(), [
      { message: "one", files: [{ path: "a", content: "a" }] },
      { message: "two", files: [{ path: "a", content: "b" }] },
    ]);
    const executor = await bench();
    await (await executor.prepare({ repository: "team/app", commit: commits[0] ?? "" }))[Symbol.asyncDispose]();
    const mirror = filesOf(join(dir, "executor", "repositories")).find((file) => file.endsWith("shallow.git/HEAD"));
    await writeFile(join(mirror ?? "", "..", "shallow.lock"), "");

    await using workspace = await executor.prepare({ repository: "team/app", commit: commits[1] ?? "" });

    expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe("b");
  });

  it("stops at once when it is aborted, and leaves nothing incomplete", async () => {
    const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    const executor = await bench();
    const abort = new AbortController();
    instance.intervene = ({ path }) => {
      if (path.includes("/git/")) abort.abort(new Error("canceled"));
      return undefined;
    };

    await expect(executor.prepare({ repository: "team/app", commit: head }, {}, abort.signal)).rejects.toThrow(
      "canceled",
    );
    instance.intervene = () => undefined;
    await using workspace = await executor.prepare({ repository: "team/app", commit: head });

    expect(await readFile(join(workspace.dir, "a"), "utf8")).toBe("a");
    const left = await readdir(join(dir, "executor", "repositories"), { recursive: true });
    expect(left.filter((name) => name.includes("tmp-"))).toEqual([]);
  });
});

describe.runIf(isRoot)(isRoot ? "a limit on the disk" : "a limit on the disk [needs root]", () => {
  it("stops a job that writes more, and leaves no loop device", async () => {
    const { head } = await makeRepository(repository(), [{ message: "one", files: [{ path: "a", content: "a" }] }]);
    for (const overlays of [true, false]) {
      const executor = await WorkspaceBench.create({ dir: join(dir, `executor-${overlays}`), instance, overlays });
      const workspace = await executor.prepare(
        { repository: "team/app", commit: head },
        { diskBytes: 20 * 1024 * 1024 },
      );

      expect(() =>
        execFileSync("dd", ["if=/dev/zero", `of=${workspace.dir}/big`, "bs=1M", "count=30"], { stdio: "ignore" }),
      ).toThrow();
      expect(inWorkspace(workspace.dir, "rev-parse", "HEAD").trim()).toBe(head);
      await workspace[Symbol.asyncDispose]();
      await executor.settled();
    }
    // The kernel frees a device with its last user. That may be a mount namespace that was copied just now.
    await expect
      .poll(async () => (await loopFiles()).filter((file) => file.includes(dir)), { timeout: 10_000 })
      .toEqual([]);
  });
});

async function loopFiles(): Promise<string[]> {
  const devices = await readdir("/sys/block");
  return await Promise.all(
    devices.map((device) => readFile(`/sys/block/${device}/loop/backing_file`, "utf8").catch(() => "")),
  );
}
