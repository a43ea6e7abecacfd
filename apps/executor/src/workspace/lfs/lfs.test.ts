import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { noProxies } from "@airlock/proxy";
import { unmountBelow } from "@airlock/runtime/host-disk";
import { makeRepository, type RepositoryFile, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { workspaceDiff } from "../../results/workspace-diff.ts";
import { lfsPointer } from "../../testing/lfs-objects.ts";
import { ScriptedInstance } from "../../testing/scripted-instance.ts";
import {
  gitLimits,
  gitToken,
  type PreparedWorkspace,
  WorkspaceBench,
  type WorkspaceBenchOptions,
} from "../../testing/workspace-bench.ts";
import { Git } from "../checkout/git.ts";

const isRoot = process.getuid?.() === 0;
const attributes: RepositoryFile = { path: ".gitattributes", content: "*.bin filter=lfs diff=lfs merge=lfs -text\n" };
const large = Buffer.alloc(3_000_000, "large ");
const tool = "#!/bin/sh\necho tool\n";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  // Unmounts workspaces that a failed test created unexpectedly.
  stack.defer(async () => {
    await unmountBelow(dir, AbortSignal.timeout(20_000));
  });
  for (const content of [large, tool]) instance.lfs.add(content);
});

afterEach(() => stack.disposeAsync());

const bench = (options: Partial<WorkspaceBenchOptions> = {}) =>
  WorkspaceBench.create({
    dir: join(dir, "executor"),
    instance,
    overlays: isRoot,
    lfs: { fetch: true, allowedHosts: [] },
    ...options,
  });

const served = (...commits: readonly (readonly RepositoryFile[])[]) =>
  makeRepository(
    join(dir, "served/app"),
    commits.map((files, index) => ({ message: String(index), files })),
  );

const pointer = (path: string | Buffer, content: Buffer | string): RepositoryFile => ({
  path,
  content: lfsPointer(content),
});

const inWorkspace = (workspace: PreparedWorkspace, ...args: string[]) =>
  execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd: workspace.dir, encoding: "utf8" });

async function diffOf(workspace: PreparedWorkspace): Promise<string> {
  const { file } = await workspaceDiff({
    git: new Git({
      path: process.env.PATH ?? "",
      homeDir: dir,
      certificateFile: null,
      proxies: noProxies,
      ...gitLimits,
    }),
    sandbox: workspace.sandbox,
    commit: workspace.commit,
    scratchDir: join(dir, `scratch-${Math.random()}`),
    limits: { maximumBytes: 1e7, maximumEntries: 1000, maximumMs: 60_000 },
    signal: AbortSignal.timeout(20_000),
  });
  return file === null ? "" : await readFile(file, "utf8");
}

const listed = () => instance.lfs.requests.filter(({ path }) => path.endsWith("/batch")).length;
const fetched = () => instance.lfs.requests.length - listed();

describe("Git LFS", () => {
  it.each(["sha1", "sha256"] as const)(
    "replaces pointers with content, and git sees a clean checkout: %s",
    async (objectFormat) => {
      const files: RepositoryFile[] = [
        attributes,
        pointer("large.bin", large),
        { path: "deep/er/tool.bin", content: lfsPointer(tool), kind: "executable" },
        pointer(Buffer.from("caf\xe9 \n.bin", "latin1"), tool),
        // These three are content: one without the filter, one without a pointer, one too large.
        pointer("fixture.txt", large),
        { path: "committed.bin", content: "not a pointer\n" },
        { path: "big.bin", content: Buffer.alloc(5000, "x") },
      ];
      const { head } = await makeRepository(join(dir, "served/app"), [{ message: "1", files }], { objectFormat });
      const executor = await bench();

      await using workspace = await executor.prepare({ repository: "app", commit: head, directory: "" });

      expect((await readFile(join(workspace.dir, "large.bin"))).equals(large)).toBe(true);
      expect(await readFile(join(workspace.dir, "deep/er/tool.bin"), "utf8")).toBe(tool);
      expect((await stat(join(workspace.dir, "deep/er/tool.bin"))).mode & 0o777).toBe(0o755);
      expect(
        await readFile(
          Buffer.concat([Buffer.from(`${workspace.dir}/caf`), Buffer.from([0xe9]), Buffer.from(" \n.bin")]),
          "utf8",
        ),
      ).toBe(tool);
      expect(await readFile(join(workspace.dir, "fixture.txt"), "utf8")).toBe(lfsPointer(large));
      expect(await readFile(join(workspace.dir, "committed.bin"), "utf8")).toBe("not a pointer\n");
      expect(inWorkspace(workspace, "status", "--porcelain")).toBe("");
      expect(inWorkspace(workspace, "fsck", "--no-dangling")).toBe("");
      expect(await diffOf(workspace)).toBe("");
      await writeFile(join(workspace.dir, "deep/er/tool.bin"), tool.toUpperCase());
      expect(inWorkspace(workspace, "status", "--porcelain")).toBe(" M deep/er/tool.bin\n");
      expect([...(await diffOf(workspace)).matchAll(/^diff --git a\/(\S+)/gm)].map(([, path]) => path)).toEqual([
        "deep/er/tool.bin",
      ]);
      expect(executor.sink.entries.find(({ key }) => key === "setup.git.checkout")?.notes.join("\n")).toContain(
        "Git LFS files: 3",
      );
      expect(instance.lfs.requests[0]).toMatchObject({
        path: "/.executors/git/app/info/lfs/objects/batch",
        headers: { authorization: `Bearer ${gitToken}` },
      });
    },
  );

  it("leaves pointers unless the administrator turns it on", async () => {
    const { head } = await served([attributes, pointer("large.bin", large)]);
    const executor = await bench({ lfs: { fetch: false, allowedHosts: [] } });

    await using workspace = await executor.prepare({ repository: "app", commit: head });

    expect(await readFile(join(workspace.dir, "large.bin"), "utf8")).toBe(lfsPointer(large));
    expect(instance.lfs.requests).toEqual([]);
    expect(await diffOf(workspace)).toBe("");
  });

  const kinds = [
    { overlays: false, handsOutLayers: false },
    { overlays: true, handsOutLayers: true },
  ];
  it.each(kinds.filter(({ overlays }) => !overlays || process.getuid?.() === 0))(
    "fetches an object once for all commits, and checks out the objects of each commit (from layers: $handsOutLayers)",
    async (kind) => {
      const { commits } = await served(
        [attributes, pointer("a.bin", large), pointer("b.bin", tool)],
        [{ path: "other", content: "x" }, pointer("b.bin", large), pointer("c.bin", tool)],
        [{ path: ".gitattributes", content: "\n" }],
      );
      const executor = await bench(kind);
      const prepared = async (index: number) => {
        await using workspace = await executor.prepare({ repository: "app", commit: commits[index] ?? "" });
        expect(inWorkspace(workspace, "status", "--porcelain")).toBe("");
        const names = ["a.bin", "b.bin", "c.bin"].filter((name) => existsSync(join(workspace.dir, name)));
        return Promise.all(names.map(async (name) => (await stat(join(workspace.dir, name))).size));
      };

      expect(await prepared(0)).toEqual([large.length, tool.length]);
      expect(await prepared(0)).toEqual([large.length, tool.length]);
      expect(await prepared(1)).toEqual([large.length, large.length, tool.length]);
      expect(fetched()).toBe(2);
      // The same blobs, which the new attributes no longer treat as LFS files.
      const size = lfsPointer(large).length;
      expect(await prepared(2)).toEqual([size, size, lfsPointer(tool).length]);
      expect(await prepared(1)).toEqual([large.length, large.length, tool.length]);
    },
  );

  it("skips files that a sparse checkout leaves out", async () => {
    const { head } = await served([attributes, pointer("in/a.bin", tool), pointer("out/b.bin", large)]);
    const executor = await bench();

    await using workspace = await executor.prepare({ repository: "app", commit: head, sparse: ["/in/"] });

    expect(await readFile(join(workspace.dir, "in/a.bin"), "utf8")).toBe(tool);
    expect(existsSync(join(workspace.dir, "out"))).toBe(false);
    expect(fetched()).toBe(1);
    expect(inWorkspace(workspace, "status", "--porcelain")).toBe("");
  });

  it("uses the repository's own server whatever the repository configures, and runs none of its filters", async () => {
    const elsewhere = stack.use(await ScriptedInstance.start());
    const config = `[lfs]\n\turl = ${elsewhere.url}/info/lfs\n[filter "lfs"]\n\tsmudge = touch ${dir}/ran\n\tprocess = touch ${dir}/ran\n`;
    const { head } = await served([
      attributes,
      { path: ".lfsconfig", content: config },
      { path: ".gitconfig", content: config },
      pointer("a.bin", tool),
    ]);

    await using workspace = await (await bench()).prepare({ repository: "app", commit: head });

    expect(await readFile(join(workspace.dir, "a.bin"), "utf8")).toBe(tool);
    expect(elsewhere.lfs.requests).toEqual([]);
    expect(existsSync(join(dir, "ran"))).toBe(false);
  });

  it("fetches from another host only if the administrator allows it, and never with the job's credentials", async () => {
    const { head } = await served([attributes, pointer("a.bin", tool)]);
    const storage = stack.use(await ScriptedInstance.start());
    storage.lfs.add(tool);
    instance.lfs.objectsAt = `${storage.url}/info/lfs/objects`;
    instance.lfs.header = { "X-Ticket": "once", Host: "inside" };
    const request = { repository: "app", commit: head };

    await expect((await bench()).prepare(request)).rejects.toMatchObject({ reason: "policy" });
    expect(storage.lfs.requests).toEqual([]);
    const allowedHosts = [new URL(storage.url).host];
    await using workspace = await (await bench({ lfs: { fetch: true, allowedHosts } })).prepare(request);

    expect(await readFile(join(workspace.dir, "a.bin"), "utf8")).toBe(tool);
    const [{ headers } = { headers: {} }] = storage.lfs.requests;
    expect(headers).toMatchObject({ "x-ticket": "once", host: new URL(storage.url).host });
    expect(JSON.stringify(headers)).not.toContain(gitToken);
  });

  it.each([
    ["other content of the same length", tool.toUpperCase(), "different content"],
    ["more than its pointer says", `${tool}more`, "longer"],
    ["less than its pointer says", tool.slice(1), "shorter"],
  ])("accepts nothing from a server that sends %s", async (_, given, problem) => {
    const { head } = await served([attributes, pointer("a.bin", tool)]);
    instance.lfs.add(tool, given);
    const executor = await bench();
    const request = { repository: "app", commit: head };

    await expect(executor.prepare(request)).rejects.toMatchObject({
      reason: "checkout-unavailable",
      message: expect.stringContaining(problem),
    });

    const [repository = ""] = await readdir(join(dir, "executor/repositories"));
    expect(await readdir(join(dir, "executor/repositories", repository, "shallow.git/lfs/objects"))).toEqual([]);
    instance.lfs.add(tool);
    await using workspace = await executor.prepare(request);
    expect(await readFile(join(workspace.dir, "a.bin"), "utf8")).toBe(tool);
  });

  it.each([
    [302, "checkout-unavailable", /redirect/],
    [401, "checkout-unavailable", /401/],
    [404, "checkout-invalid", /404/],
    [503, "checkout-unavailable", /503/],
  ])("reports what a server answered if the answer is unusable: %i", async (status, reason, message) => {
    const { head } = await served([attributes, pointer("a.bin", tool)]);
    instance.lfs.status = status;
    const failure = (await bench()).prepare({ repository: "app", commit: head });
    await expect(failure).rejects.toMatchObject({ reason, message: expect.stringMatching(message) });
  });

  it("fails for objects that were never pushed, and for more data than a checkout may contain", async () => {
    const { head } = await served([attributes, pointer("a.bin", "never pushed")]);
    await expect((await bench()).prepare({ repository: "app", commit: head })).rejects.toMatchObject({
      reason: "checkout-invalid",
      message: expect.stringContaining("404"),
    });
    const { head: huge } = await makeRepository(join(dir, "served/huge"), [
      {
        message: "1",
        files: [attributes, { path: "a.bin", content: lfsPointer("x").replace(/size 1/, "size 900000000000000") }],
      },
    ]);
    const before = instance.lfs.requests.length;
    await expect((await bench()).prepare({ repository: "huge", commit: huge })).rejects.toMatchObject({
      code: "checkout-limit",
    });
    expect(instance.lfs.requests).toHaveLength(before);
  });

  it("stops after the checkout timeout, and removes what an earlier run left incomplete", async () => {
    const { head } = await served([attributes, pointer("a.bin", tool)]);
    const executor = await bench({ maximumMs: 1500 });
    instance.lfs.delayMs = 20_000;
    await expect(executor.prepare({ repository: "app", commit: head })).rejects.toMatchObject({
      code: "checkout-limit",
      message: expect.stringContaining("longer than"),
    });
    instance.lfs.delayMs = 0;
    const [repository = ""] = await readdir(join(dir, "executor/repositories"));
    const objects = join(dir, "executor/repositories", repository, "shallow.git/lfs/objects");
    await writeFile(join(objects, "x.tmp-1"), "half");

    await using workspace = await executor.prepare({ repository: "app", commit: head });

    expect(await readFile(join(workspace.dir, "a.bin"), "utf8")).toBe(tool);
    expect(await readdir(objects)).toHaveLength(1);
  });

  it("frees the cached objects together with the repository's mirror", async () => {
    const { head } = await served([attributes, pointer("a.bin", large)]);
    const executor = await bench({ cacheBytes: 1_000_000 });
    await (await executor.prepare({ repository: "app", commit: head }))[Symbol.asyncDispose]();

    await executor.repositories.evict(AbortSignal.timeout(20_000));

    const [repository = ""] = await readdir(join(dir, "executor/repositories"));
    expect(await readdir(join(dir, "executor/repositories", repository))).toEqual([]);
  });
});
