import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, cp, lstat, mkdir, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mountOverlay } from "@airlock/runtime/host-disk";
import { makeRepository, runGit, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ScriptedInstance } from "../../testing/scripted-instance.ts";
import { type PreparedWorkspace, WorkspaceBench } from "../../testing/workspace-bench.ts";
import { loadCheckouts } from "./load-checkouts.ts";
import { maximumLayers } from "./stored-checkout.ts";

const isRoot = process.getuid?.() === 0;
const anySignal = () => AbortSignal.timeout(30_000);

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  const left = mountsBelow(dir);
  for (const path of left.toReversed()) execFileSync("umount", ["-l", path]);
  await stack.disposeAsync();
  expect(left).toEqual([]);
});

describe.runIf(isRoot)(isRoot ? "layered checkouts" : "layered checkouts [needs root]", () => {
  it("the same commit again needs no git and gets the same files", async () => {
    const { second } = await numbered(2);
    const { commands } = await watchGit();
    const executor = await bench();
    await prepareAll(executor);
    const before = await commands();
    const asked = instance.gitRequests.length;

    await using one = await executor.prepare(second);

    expect(await commands()).toEqual(before);
    // After a restart, the executor asks the mirror once which commits it has.
    await using other = await (await bench()).prepare(second);
    expect((await commands()).slice(before.length)).toEqual([expect.stringContaining(" for-each-ref ")]);
    expect(instance.gitRequests).toHaveLength(asked);
    for (const workspace of [one, other]) {
      expect(await readFile(join(workspace.dir, "file"), "utf8")).toBe("2\n");
      expectClean(workspace, second.commit);
    }
    expect(executor.sink.entries.filter(({ key }) => key === "setup.git.checkout").at(-1)?.notes).toEqual([]);
  });

  it("another commit starts from the last one and writes only the difference", async () => {
    const { requests } = await numbered(3);
    const executor = await bench();

    await prepareAll(executor);

    const notes = executor.sink.entries.flatMap(({ key, notes: each }) => (key === "setup.git.checkout" ? each : []));
    expect(notes).toEqual(requests.slice(0, -1).map(({ commit }) => `starting from a checkout of ${commit}`));
    const tops = layersOnDisk().map(({ path }) => readdirSync(join(path, "upper")).sort());
    expect(tops).toEqual([
      [".git", "file"],
      [".git", "file"],
    ]);
  });

  it("each commit of a chain has exactly its files: removed, renamed, with other modes, types and links", async () => {
    const source = await openSource();
    const inTree = (path: string) => join(source.tree, path);
    const put = async (path: string, content: string, mode = 0o644) => {
      await mkdir(dirname(inTree(path)), { recursive: true });
      await writeFile(inTree(path), content, { mode });
      await chmod(inTree(path), mode);
    };
    const changes: (() => Promise<void>)[] = [
      async () => {
        for (const name of ["a", "b", "dir/c", "dir/deep/d", "other/e"]) await put(name, `${name}\n`);
        await put("tool", "#!/bin/sh\n", 0o755);
        await symlink("a", inTree("link"));
      },
      async () => await rm(inTree("dir"), { recursive: true }),
      async () => await put("dir/new", "a new directory of the same name\n"),
      async () => {
        await chmod(inTree("tool"), 0o644);
        await chmod(inTree("a"), 0o755);
      },
      async () => {
        await rm(inTree("link"));
        await symlink("other/e", inTree("link"));
      },
      async () => {
        await cp(inTree("other"), inTree("moved"), { recursive: true });
        await rm(inTree("other"), { recursive: true });
      },
      async () => {
        await rm(inTree("link"));
        await put("link/file", "a directory in place of a link\n");
      },
      async () => {
        await rm(inTree("link"), { recursive: true });
        await put("link", "a file in place of a directory\n");
        await rm(inTree("b"));
        await symlink("dir", inTree("b"));
      },
      async () => await put("a", "x\n", 0o755),
      async () => await rm(inTree("a")),
      async () => await put("a", "back\n"),
    ];
    const made: { readonly commit: string; readonly files: readonly string[] }[] = [];
    for (const change of changes) {
      await change();
      made.push({ commit: await source.commit(), files: await filesOf(source.tree) });
    }
    const executor = await bench();

    // Forward once to make the layers, and then in another order.
    for (const { commit, files } of [...made, ...made.toReversed()]) {
      await using workspace = await executor.prepare({ repository: "app", commit });

      expect(await filesOf(workspace.dir)).toEqual(files);
      expectClean(workspace, commit);
    }
    expect(layersOnDisk()).toHaveLength(changes.length - 1);
  });

  it("a chain has a maximum depth, and then a new one starts from the complete tree", async () => {
    await numbered(2 * maximumLayers);

    await prepareAll(await bench());

    const depths = layersOnDisk().map(({ depth }) => depth);
    const whole = Array.from({ length: maximumLayers - 1 }, (_, index) => index + 2);
    expect(depths.sort((a, b) => a - b)).toEqual([...whole, ...whole, 2].sort((a, b) => a - b));
  });

  it("a chain in a directory with a long path is lower, so that it can be mounted", async () => {
    const { requests } = await numbered(maximumLayers);
    const place = join(dir, "x".repeat(200), "y".repeat(200));

    await prepareAll(await bench({ dir: place }));

    const depths = layersOnDisk(place).map(({ depth }) => depth);
    expect(depths).toHaveLength(requests.length - 1);
    expect(Math.max(...depths)).toBeLessThan(maximumLayers);
    expect(Math.max(...depths)).toBeGreaterThan(2);
  });

  it("steps of one job change no layer and no other job", async () => {
    const { third } = await numbered(3);
    const executor = await bench();
    await prepareAll(executor);
    const stored = await filesOf(join(dir, "executor/repositories"), "layer-");

    await using one = await executor.prepare(third);
    await writeFile(join(one.dir, "file"), "by a step\n");
    await rm(join(one.dir, "same"));
    await rm(join(one.dir, ".git"), { recursive: true });
    await using other = await executor.prepare(third);

    expect(await readFile(join(other.dir, "file"), "utf8")).toBe("3\n");
    expectClean(other, third.commit);
    expect(await filesOf(join(dir, "executor/repositories"), "layer-")).toEqual(stored);
  });

  it("jobs on a new commit at the same time share one layer", async () => {
    const { first, second } = await numbered(2);
    const executor = await bench();
    await (await executor.prepare(first))[Symbol.asyncDispose]();

    const workspaces = await Promise.all([1, 2, 3].map(() => executor.prepare(second)));

    expect(layersOnDisk()).toHaveLength(1);
    for (const workspace of workspaces) {
      expectClean(workspace, second.commit);
      await workspace[Symbol.asyncDispose]();
    }
  });

  it("a submodule gets a complete tree of a commit that jobs have as a layer", async () => {
    const { second } = await numbered(2);
    const executor = await bench();
    await prepareAll(executor);
    const request = { ...second, directory: "", depth: 1, tags: "none", sparse: [] } as const;

    using held = await executor.repositories.checkoutOf(new URL(instance.url), request, anySignal());

    expect(held.commit).toBe(second.commit);
    expect(await readFile(join(held.tree, "file"), "utf8")).toBe("2\n");
    expect(existsSync(join(held.tree, "same"))).toBe(true);
  });

  it("an aborted job leaves no mount and nothing incomplete", async () => {
    const { first, second } = await numbered(2);
    const git = await watchGit();
    const executor = await bench();
    await (await executor.prepare(first))[Symbol.asyncDispose]();
    const abort = new AbortController();
    const stuck = await git.stopAt("checkout");
    const attempt = executor.prepare(second, {}, abort.signal);
    const failed = expect(attempt).rejects.toThrow("canceled");
    await stuck.reached();

    abort.abort(new Error("canceled"));
    await failed;

    expect(mountsBelow(dir)).toEqual([]);
    expect(readdirSync(join(dir, "executor/repositories"), { recursive: true }).join("\n")).not.toContain(".tmp-");
    await stuck.release();
    await using workspace = await executor.prepare(second);
    expectClean(workspace, second.commit);
  });
});

describe.runIf(isRoot)(isRoot ? "eviction of layers" : "eviction of layers [needs root]", () => {
  it("empties whole chains when no job uses them", async () => {
    await numbered(4);
    const executor = await bench({ cacheBytes: 0 });
    await prepareAll(executor);
    expect(layersOnDisk()).toHaveLength(3);

    await executor.repositories.evict(anySignal());

    expect(checkoutsOnDisk()).toEqual([]);
  });

  it("keeps what is below a layer in use, and removes what is above", async () => {
    const { third } = await numbered(5);
    const executor = await bench({ cacheBytes: 0 });
    await prepareAll(executor);
    const workspace = await executor.prepare(third);

    await executor.repositories.evict(anySignal());

    expect(layersOnDisk()).toHaveLength(2);
    expect(checkoutsOnDisk()).toHaveLength(3);
    await workspace.commit.fetchInto(await emptyRepository(workspace), anySignal());
    expectClean(workspace, third.commit);
    await workspace[Symbol.asyncDispose]();
    await executor.repositories.evict(anySignal());
    expect(checkoutsOnDisk()).toEqual([]);
  });

  it("removes layers that were not used for long first, and no more than necessary", async () => {
    const { second, third } = await numbered(3, 300_000);
    await prepareAll(await bench());
    const mirrors = 3 * 300_000;
    // Room for the mirror, the tree and one of two layers. A layer has the file, and its object once more.
    const tight = await bench({ cacheBytes: mirrors + 5 * 300_000 });
    await (await tight.prepare(second))[Symbol.asyncDispose]();

    await tight.repositories.evict(anySignal());

    expect(layersOnDisk().map(({ commit }) => commit)).toEqual([second.commit]);
    await using workspace = await tight.prepare(third);
    expectClean(workspace, third.commit);
  });

  it("keeps a limited number of layers even if there is room", async () => {
    const { requests } = await numbered(4 * (maximumLayers - 1));
    const executor = await bench();
    await prepareAll(executor);
    expect(layersOnDisk()).toHaveLength(requests.length - 1);

    await executor.repositories.evict(anySignal());

    // The oldest chain is gone. The others have fewer newer ones.
    const left = layersOnDisk().map(({ commit }) => commit);
    expect(left.sort()).toEqual(
      requests
        .slice(maximumLayers)
        .map(({ commit }) => commit)
        .sort(),
    );
  });

  it("may run at any time while several slots make layers", async () => {
    const { requests } = await numbered(6);
    const executor = await bench({ cacheBytes: 0 });
    const stop = new AbortController();
    const evicting = (async () => {
      while (!stop.signal.aborted) {
        await executor.repositories.evict(anySignal());
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const slot = async (offset: number) => {
      for (const [index] of requests.entries()) {
        const request = requests[(index + offset) % requests.length];
        if (!request) throw new Error("no request");
        await using workspace = await executor.prepare(request);
        expectClean(workspace, request.commit);
      }
    };

    await Promise.all([0, 2, 3].map(slot)).finally(() => stop.abort());
    await evicting;
    await executor.repositories.evict(anySignal());

    expect(checkoutsOnDisk()).toEqual([]);
  });
});

describe.runIf(isRoot)(isRoot ? "layers of an earlier run" : "layers of an earlier run [needs root]", () => {
  it("are removed if a checkout below them is missing", async () => {
    const { requests } = await numbered(4);
    await prepareAll(await bench());
    const lost = layersOnDisk().find(({ depth }) => depth === 3);
    await rm(lost?.path ?? "", { recursive: true });

    const restarted = await bench();

    expect(layersOnDisk().map(({ depth }) => depth)).toEqual([2]);
    for (const request of requests) {
      await using workspace = await restarted.prepare(request);
      expectClean(workspace, request.commit);
    }
  });

  it("are removed if the machine was started again, since a crash loses what was not on the disk yet", async () => {
    const { second } = await numbered(2);
    await prepareAll(await bench());
    const [layer] = layersOnDisk();
    const file = join(layer?.path ?? "", "checkout.json");
    const description = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify({ ...description, layer: { ...description.layer, boot: "an earlier one" } }));
    // An ordinary crash leaves files of the right size without content.
    await writeFile(join(layer?.path ?? "", "upper/file"), "\0\0");

    const restarted = await bench();

    expect(layersOnDisk()).toEqual([]);
    expect(checkoutsOnDisk()).toHaveLength(1);
    await using workspace = await restarted.prepare(second);
    expect(await readFile(join(workspace.dir, "file"), "utf8")).toBe("2\n");
  });

  it("are removed if jobs can't start from layers any more", async () => {
    const { second } = await numbered(2);
    await prepareAll(await bench());

    const restarted = await bench({ handsOutLayers: false });

    expect(layersOnDisk()).toEqual([]);
    await using workspace = await restarted.prepare(second);
    expectClean(workspace, second.commit);
  });

  it("are removed with their mounts if the executor was killed while it wrote them", async () => {
    const { second } = await numbered(2);
    await prepareAll(await bench());
    const repository = join(dir, "executor/repositories", readdirSync(join(dir, "executor/repositories"))[0] ?? "");
    const tree = join(repository, checkoutsOnDisk().find((name) => name.startsWith("checkout-")) ?? "", "tree");
    const making = join(repository, "checkout.tmp-killed");
    await mountOverlay(tree, making, join(making, "mounted"), anySignal());
    await rm(join(making, "mounted/file"));

    const restarted = await bench();

    expect(mountsBelow(dir)).toEqual([]);
    expect(existsSync(making)).toBe(false);
    expect(existsSync(join(tree, "file"))).toBe(true);
    await using workspace = await restarted.prepare(second);
    expectClean(workspace, second.commit);
  });

  it("keep their order of use", async () => {
    await numbered(3);
    await prepareAll(await bench());
    const old = new Date("2020-01-01T00:00:00Z");
    const repository = join(dir, "executor/repositories", readdirSync(join(dir, "executor/repositories"))[0] ?? "");
    const tree = checkoutsOnDisk().find((name) => name.startsWith("checkout-")) ?? "";
    await utimes(join(repository, tree, "checkout.json"), old, old);
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();

    const loaded = await loadCheckouts({ dir: repository, boot, signal: anySignal() });

    // A tree is used whenever a layer on it is.
    const latest = Math.max(...loaded.map(({ lastUsed }) => lastUsed));
    expect(loaded.find(({ below }) => below === null)?.lastUsed).toBe(latest);
  });
});

it("a checkout whose description was cut off by a crash is removed, and the executor starts", async () => {
  const { first } = await numbered(1);
  const options = { handsOutLayers: false, overlays: false };
  await prepareAll(await bench(options));
  const [name = ""] = checkoutsOnDisk();
  const repository = join(dir, "executor/repositories", readdirSync(join(dir, "executor/repositories"))[0] ?? "");
  for (const text of ["", '{"commit":"', "\0\0\0"]) {
    await writeFile(join(repository, name, "checkout.json"), text);

    const restarted = await bench(options);

    expect(checkoutsOnDisk()).toEqual([]);
    await (await restarted.prepare(first))[Symbol.asyncDispose]();
  }
});

interface Request {
  readonly repository: string;
  readonly commit: string;
}

/** All commits of the repository that {@link numbered} made. */
let all: readonly Request[];

/** Makes a repository whose commits write their number, or so many random bytes, to `file`. */
async function numbered(count: number, bytes = 0) {
  const content = (index: number) =>
    bytes === 0 ? `${index + 1}\n` : Buffer.from(Array.from({ length: bytes }, () => Math.floor(Math.random() * 256)));
  const { commits } = await makeRepository(
    join(dir, "served/app"),
    Array.from({ length: count }, (_, index) => ({
      message: `${index + 1}`,
      files: [{ path: "file", content: content(index) }, ...(index === 0 ? [{ path: "same", content: "same\n" }] : [])],
    })),
  );
  const request = (index: number): Request => ({ repository: "app", commit: commits[index] ?? "" });
  all = commits.map((_, index) => request(index));
  return { requests: all, first: request(0), second: request(1), third: request(2) };
}

function bench(more: Partial<Parameters<typeof WorkspaceBench.create>[0]> = {}): Promise<WorkspaceBench> {
  return WorkspaceBench.create({
    dir: join(dir, "executor"),
    instance,
    overlays: true,
    handsOutLayers: true,
    ...more,
  });
}

async function prepareAll(executor: WorkspaceBench): Promise<void> {
  for (const request of all) await (await executor.prepare(request))[Symbol.asyncDispose]();
}

/** A repository whose commits are those of a tree. */
async function openSource() {
  const gitDir = join(dir, "served/app");
  const tree = join(dir, "source");
  await mkdir(tree);
  await makeRepository(gitDir, [{ message: "start", files: [{ path: "start", content: "" }] }]);
  const git = (...args: string[]) => runGit(tree, [`--git-dir=${gitDir}`, `--work-tree=${tree}`, ...args]);
  return {
    tree,
    async commit(): Promise<string> {
      await git("add", "--all");
      await git("commit", "--quiet", "--message=change");
      return (await git("rev-parse", "HEAD")).trim();
    },
  };
}

/** One line for each entry: path, type, mode and content. Without the `.git` of a worktree. */
async function filesOf(root: string, only = ""): Promise<string[]> {
  const names = await readdir(root, { recursive: true });
  const lines = await Promise.all(
    names
      .filter((name) => !/^\.git(?:\/|$)/.test(name) && name.includes(only))
      .map(async (name) => {
        const path = join(root, name);
        const found = await lstat(path);
        if (found.isDirectory()) return `${name}/`;
        if (found.isSymbolicLink()) return `${name} -> ${await readlink(path)}`;
        const content = found.isFile() ? (await readFile(path)).toString("base64") : "";
        return `${name} ${found.mode.toString(8)} ${content}`;
      }),
  );
  return lines.sort();
}

/** Git sees the commit in the workspace, also when it reads every file. */
function expectClean(workspace: PreparedWorkspace, commit: string): void {
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd: workspace.dir, encoding: "utf8" }).trim();
  expect(git("rev-parse", "HEAD")).toBe(commit);
  expect(git("status", "--porcelain")).toBe("");
  expect(git("log", "--format=%H")).toBe(commit);
  const env = { ...process.env, GIT_INDEX_FILE: join(workspace.dir, ".git/fresh-index") };
  const options = { cwd: workspace.dir, env, encoding: "utf8" } as const;
  execFileSync("git", ["-c", "safe.directory=*", "read-tree", "HEAD"], options);
  expect(execFileSync("git", ["-c", "safe.directory=*", "status", "--porcelain"], options)).toBe("");
  expect(git("fsck", "--no-dangling")).toBe("");
}

/** Names of all stored checkouts of the only repository. */
function checkoutsOnDisk(place = join(dir, "executor")): string[] {
  const repositories = join(place, "repositories");
  return readdirSync(repositories)
    .flatMap((key) => readdirSync(join(repositories, key)))
    .filter((name) => /^(?:checkout|layer)/.test(name));
}

interface LayerOnDisk {
  readonly path: string;
  readonly commit: string;
  /** Number of directories of which the checkout consists. */
  readonly depth: number;
}

/** The stored layers, deepest chains last. */
function layersOnDisk(place = join(dir, "executor")): LayerOnDisk[] {
  const [key = ""] = readdirSync(join(place, "repositories"));
  const repository = join(place, "repositories", key);
  const describe = (name: string) => JSON.parse(readFileSync(join(repository, name, "checkout.json"), "utf8"));
  const depthOf = (name: string): number => (name.startsWith("layer-") ? depthOf(describe(name).layer.below) + 1 : 1);
  return checkoutsOnDisk(place)
    .filter((name) => name.startsWith("layer-"))
    .map((name) => ({ path: join(repository, name), commit: describe(name).commit, depth: depthOf(name) }))
    .sort((a, b) => a.depth - b.depth);
}

async function emptyRepository(workspace: PreparedWorkspace): Promise<string> {
  const path = join(await workspace.jobDir(), "fetched.git");
  await runGit(dir, ["init", "--quiet", "--bare", path]);
  return path;
}

function mountsBelow(path: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${path}/`));
}

/** Puts a program before git that records its commands. */
async function watchGit() {
  const log = join(dir, "git-commands");
  const stop = join(dir, "git-stops");
  const reached = join(dir, "git-reached");
  const real = execFileSync("sh", ["-c", "command -v git"], { encoding: "utf8" }).trim();
  const script = `#!/bin/sh
echo "$*" >> ${log}
if [ -e ${stop} ]; then
  case " $* " in *" $(cat ${stop}) "*) touch ${reached}; exec sleep 60 ;; esac
fi
exec ${real} "$@"
`;
  await mkdir(join(dir, "bin"));
  await writeFile(join(dir, "bin/git"), script, { mode: 0o755 });
  await writeFile(log, "");
  vi.stubEnv("PATH", `${join(dir, "bin")}:${process.env.PATH}`);
  return {
    commands: async () => (await readFile(log, "utf8")).split("\n").slice(0, -1),
    async stopAt(command: string) {
      await writeFile(stop, command);
      return {
        reached: () => expect.poll(() => existsSync(reached), { timeout: 20_000 }).toBe(true),
        release: () => rm(stop),
      };
    },
  };
}
