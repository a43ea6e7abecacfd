import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../../testing/scripted-instance.ts";
import { WorkspaceBench } from "../../testing/workspace-bench.ts";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
});

afterEach(() => stack.disposeAsync());

const make = async (name: string) => {
  // Random content does not compress, so a mirror is as large as its content.
  const content = Buffer.from(Array.from({ length: 200_000 }, () => Math.floor(Math.random() * 256)));
  const { head } = await makeRepository(join(dir, "served", name), [
    { message: name, files: [{ path: "a", content }] },
  ]);
  return { repository: name, commit: head };
};

describe("the cache of repositories", () => {
  it("removes the least recently used repositories first, and no more than necessary", async () => {
    const requests = [await make("one"), await make("two"), await make("three")];
    const [one, two, three] = requests;
    // A mirror and a checkout take about 0.7 MB together, so there is room for two of the three.
    const executor = await WorkspaceBench.create({
      dir: join(dir, "executor"),
      instance,
      overlays: false,
      cacheBytes: 1_700_000,
    });
    const use = async (request: (typeof requests)[number] | undefined) => {
      if (request) await (await executor.prepare(request))[Symbol.asyncDispose]();
      await sleep(20);
    };
    for (const request of requests) await use(request);
    await use(one);

    await executor.repositories.evict(AbortSignal.timeout(10_000));

    const fetchesFor = async (request: (typeof requests)[number] | undefined) => {
      const before = instance.gitRequests.length;
      await use(request);
      return instance.gitRequests.length - before;
    };
    expect(await fetchesFor(one)).toBe(0);
    expect(await fetchesFor(three)).toBe(0);
    expect(await fetchesFor(two)).toBeGreaterThan(0);
  });

  it("reuses what an earlier run completed, and removes what it left incomplete", async () => {
    const request = await make("one");
    const executor = join(dir, "executor");
    const first = await WorkspaceBench.create({ dir: executor, instance, overlays: false });
    await (await first.prepare(request))[Symbol.asyncDispose]();
    const repositories = join(executor, "repositories");
    const [key = ""] = await readdir(repositories);
    const before = (await readdir(join(repositories, key))).sort();
    // State after kills in the middle of each operation.
    await mkdir(join(repositories, key, "full.git.tmp-1", "objects"), { recursive: true });
    await mkdir(join(repositories, key, "checkout.tmp-2", "tree", "deep"), { recursive: true });
    await mkdir(join(repositories, key, "checkout-cut-off", "tree"), { recursive: true });
    const fetches = instance.gitRequests.length;

    const second = await WorkspaceBench.create({ dir: executor, instance, overlays: false });

    expect((await readdir(join(repositories, key))).sort()).toEqual(before);
    await using workspace = await second.prepare(request);
    expect(await readdir(workspace.dir)).toContain("a");
    expect(instance.gitRequests).toHaveLength(fetches);
  });

  it("may be emptied at any time while several slots use it", async () => {
    const requests = [await make("one"), await make("two")];
    const executor = await WorkspaceBench.create({
      dir: join(dir, "executor"),
      instance,
      overlays: false,
      cacheBytes: 0,
    });
    const stop = new AbortController();
    const evicting = (async () => {
      while (!stop.signal.aborted) {
        await executor.repositories.evict(AbortSignal.timeout(20_000));
        await sleep(5);
      }
    })();
    const slot = async (offset: number) => {
      for (let round = 0; round < 4; round += 1) {
        const request = requests[(round + offset) % 2];
        if (!request) throw new Error("no request");
        await using workspace = await executor.prepare(request);
        expect(await readFile(join(workspace.dir, "a"))).toHaveLength(200_000);
        await workspace.commit?.fetchInto(join(workspace.dir, ".git"), AbortSignal.timeout(20_000));
      }
    };

    await Promise.all([0, 1, 2].map(slot));
    stop.abort();
    await evicting;
    await executor.repositories.evict(AbortSignal.timeout(20_000));

    const left = await readdir(join(dir, "executor", "repositories"), { recursive: true });
    expect(left.filter((name) => name.includes(".git") || name.includes("checkout"))).toEqual([]);
  });
});
