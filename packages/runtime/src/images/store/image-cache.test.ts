import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  buildImage,
  busyboxLayer,
  describeWithEngines,
  engines,
  pushImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { ImageStore } from "./image-store.ts";
import { boundOnDisk, planEviction } from "./plan-eviction.ts";
import { StoreLeases } from "./store-leases.ts";

const signal = new AbortController().signal;

describeWithEngines(["oci", "registry"], "the cache of images", () => {
  async function openCache(cacheBytes: number) {
    const stack = new AsyncDisposableStack();
    const { path } = stack.use(await temporaryDirectory());
    const open = async () => {
      const store = await ImageStore.open({
        ...{ directory: path, style: "overlay", keepOwners: false, idRange: null },
        images: { cacheBytes },
        registry: { insecureRegistries: [engines().registry?.address ?? ""] },
      });
      stack.defer(() => store.close());
      return store;
    };
    const store = await open();
    const prepare = (image: string, hold = store.hold(), from = store) =>
      from.prepare(image, { signal, progress: () => {}, hold });
    const parts = async () => ({
      references: (await readdir(join(path, "references"))).length,
      layers: (await readdir(join(path, "layers"))).length,
      blobs: (await readdir(join(path, "blobs"))).length,
      temporary: (await readdir(join(path, "tmp"))).length,
    });
    return { path, store, open, prepare, parts, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  /** Pushes an image with two layers. The upper one belongs to this image alone and contains 1 MB. */
  async function push(name: string): Promise<string> {
    const own = { name: "own", content: Buffer.alloc(1e6, name) };
    return pushImage(await buildImage([await busyboxLayer(), [own]]), {
      registry: engines().registry?.address ?? "",
      repository: `cache/${name}`,
    });
  }

  it("removes the least recently used images first, keeps shared layers and images in use, and pulls removed ones again", async () => {
    await using cache = await openCache(1);
    const [old, used, recent] = [await push("old"), await push("used"), await push("recent")];
    const hold = cache.store.hold();
    await cache.prepare(used, hold).then(({ layers }) => expect(layers).toHaveLength(2));
    for (const image of [old, recent]) {
      using own = cache.store.hold();
      await cache.prepare(image, own);
    }
    expect(await cache.parts()).toEqual({ references: 3, layers: 4, blobs: 7, temporary: 0 });
    await new Promise((resolve) => setTimeout(resolve, 1_100));

    expect(await cache.store.evict({ signal })).toEqual([expect.stringMatching(/^removed 2 images, [\d.]+ MiB/)]);

    // The base layer also belongs to the image that is held.
    expect(await cache.parts()).toEqual({ references: 1, layers: 2, blobs: 3, temporary: 0 });
    await cache.prepare(old, hold);
    hold[Symbol.dispose]();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await cache.store.evict({ signal });
    expect(await cache.parts()).toEqual({ references: 0, layers: 0, blobs: 0, temporary: 0 });
  });

  it("stays within its limit, and removes by last use instead of first use", async () => {
    await using cache = await openCache(6e6);
    const [first, second] = [await push("first"), await push("second")];
    for (const image of [first, second]) {
      using hold = cache.store.hold();
      await cache.prepare(image, hold);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const [a = "", b = ""] = await readdir(join(cache.path, "references"));
    await utimes(join(cache.path, "references", a), 1, 1);

    expect(await cache.store.evict({ signal })).toEqual([]);
    const tight = await ImageStore.open({
      ...{ directory: cache.path, style: "overlay", keepOwners: false, idRange: null, registry: {} },
      images: { cacheBytes: 5e6 },
    });
    await cache.store.close();
    await tight.evict({ signal });
    await tight.close();

    expect(await readdir(join(cache.path, "references"))).toEqual([b]);
  });

  it("keeps images that another process uses, and not those of a process that has ended", async () => {
    await using cache = await openCache(1);
    const image = await push("elsewhere");
    const other = spawn(process.execPath, [fileURLToPath(import.meta.resolve("./testing/hold-image.ts"))], {
      env: { STORE: cache.path, IMAGE: image, REGISTRY: engines().registry?.address ?? "" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = await once(createInterface(other.stdout), "line");
    expect(line).toBe("held");

    expect(await cache.store.evict({ signal })).toEqual([]);
    expect(await cache.parts()).toMatchObject({ references: 1, layers: 2 });
    other.kill("SIGKILL");
    await once(other, "exit");
    // The process could be in another pid namespace, so its lease counts until it has not been touched for long.
    for (const file of await readdir(join(cache.path, "leases"))) await utimes(join(cache.path, "leases", file), 1, 1);
    await cache.store.evict({ signal });
    expect(await cache.parts()).toMatchObject({ references: 0, layers: 0 });
  });

  it("loses no image that is being prepared while it is emptied repeatedly", async () => {
    await using cache = await openCache(1);
    const images = await Promise.all(["a", "b", "c"].map(push));
    const stores = [cache.store, await cache.open()];
    let isOver = false;
    const emptied = (async () => {
      let rounds = 0;
      for (; !isOver; rounds += 1) await stores[rounds % 2]?.evict({ signal });
      return rounds;
    })();

    const slots = Array.from({ length: 6 }, async (_, slot) => {
      const store = stores[slot % 2] ?? cache.store;
      for (let job = 0; job < 6; job += 1) {
        using hold = store.hold();
        const { layers } = await cache.prepare(images[(slot + job) % 3] ?? "", hold, store);
        await new Promise((resolve) => setTimeout(resolve, 30));
        const present = await readdir(store.layersDirectory);
        expect(present).toEqual(expect.arrayContaining([...layers]));
        // Check that the layers are complete and not half removed.
        for (const layer of layers) expect(await readdir(join(store.layersDirectory, layer))).not.toEqual([]);
      }
    });
    await Promise.all(slots).finally(() => {
      isOver = true;
    });
    expect(await emptied).toBeGreaterThan(3);
  });

  it("removes the remains of a process that was killed while it removed images", async () => {
    await using cache = await openCache(1);
    await mkdir(join(cache.path, "tmp", "999999999-x"), { recursive: true });
    await writeFile(join(cache.path, "tmp", "999999999-x", "layer"), "");
    await mkdir(join(cache.path, "leases"), { recursive: true });
    await writeFile(join(cache.path, "leases", "collecting"), "999999999-1");
    const store = await cache.open();
    const image = await push("after-a-crash");

    using hold = store.hold();
    await cache.prepare(image, hold, store);

    expect(await cache.parts()).toMatchObject({ references: 1, temporary: 0 });
    expect(await store.evict({ signal })).toEqual([]);
    expect(await readdir(join(cache.path, "leases"))).not.toContain("collecting");
  });
});

describe("planEviction", () => {
  const sizes = new Map([
    ["base", 100],
    ["a", 10],
    ["b", 20],
    ["stray", 5],
  ]);
  const images = [
    { reference: "b", usedAt: 2, names: ["base", "b"] },
    { reference: "a", usedAt: 1, names: ["base", "a"] },
  ];
  const plan = (maximumBytes: number, inUse: readonly string[] = [], leftOver: readonly string[] = []) =>
    planEviction({ images, sizes, inUse: new Set(inUse), leftOver: new Set(leftOver), maximumBytes });

  it("removes as much as needed, least recently used first", () => {
    expect(plan(135).references).toEqual([]);
    expect(plan(125)).toEqual({ references: ["a"], names: ["a"], bytes: 10 });
    expect(plan(5)).toEqual({ references: ["a", "b"], names: ["a", "base", "b"], bytes: 130 });
  });

  it("removes nothing that is in use, and always removes leftovers", () => {
    expect(plan(0, ["base", "a"])).toEqual({ references: ["b"], names: ["b"], bytes: 20 });
    expect(plan(0, ["base"])).toEqual({ references: ["a", "b"], names: ["a", "b"], bytes: 30 });
    expect(plan(1_000, [], ["stray", "a"])).toEqual({ references: [], names: ["stray"], bytes: 5 });
    expect(plan(1_000, ["stray"], ["stray"]).names).toEqual([]);
  });
});

describe("boundOnDisk", () => {
  it("is the configured limit, or less if the disk has less room", () => {
    expect(boundOnDisk(50, 10, { totalBytes: 1_000, availableBytes: 500 })).toBe(50);
    expect(boundOnDisk(50, 10, { totalBytes: 1_000, availableBytes: 60 })).toBe(20);
    expect(boundOnDisk(50, 10, { totalBytes: 1_000, availableBytes: 0 })).toBe(0);
  });
});

describe("StoreLeases", () => {
  it("let one process collect at a time, and block new holds meanwhile", async () => {
    await using directory = await temporaryDirectory();
    const [one, two] = [new StoreLeases(directory.path), new StoreLeases(directory.path)];
    const order: string[] = [];
    const free = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const collecting = one.collect(async () => {
      started.resolve();
      await free.promise;
      order.push("collected");
    });
    await started.promise;

    expect(await two.collect(async () => {})).toBe(false);
    using hold = two.hold();
    const held = hold.add(["x"]).then(() => order.push("held"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    free.resolve();
    await Promise.all([collecting, held]);

    expect(order).toEqual(["collected", "held"]);
    await one.collect(async (inUse) => expect([...inUse]).toEqual(["x"]));
    await Promise.all([one.close(), two.close()]);
  });
});
