import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { outputOf } from "@airlock/process";
import {
  buildImage,
  busyboxLayer,
  dockerArchive,
  type FixtureImage,
  type ImageConfig,
  type LayerEntry,
  shellLessImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { ImageStore } from "../../images/store/image-store.ts";
import { processIdentity } from "../../images/store/store-leases.ts";
import { ImageDisks, type ImageDisksOptions } from "./image-disks.ts";
import { canMount, checkDisk, readDisk, sizesOf } from "./testing/read-disk.ts";

const never = new AbortController().signal;
const slotBytes = 256 * 2 ** 20;

describe("the disk of an image", () => {
  it("is made once for all callers that want it at the same time, and reports its progress", async () => {
    await using place = await openDisks();
    const image = await place.add([await busyboxLayer()]);
    const words: string[] = [];

    const all = await Promise.all(Array.from({ length: 4 }, () => place.prepare(image, words)));

    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect(await place.files()).toHaveLength(1);
    expect(words.filter((text) => text === "making the image's disk")).toHaveLength(4);
    const more: string[] = [];
    await place.prepare(image, more);
    expect(more).toEqual([]);
  });

  it("is sparse, has the size of the slot, and can't be written to", async () => {
    await using place = await openDisks();

    const { path } = await place.prepare(await place.add([await busyboxLayer()]));

    await checkDisk(path);
    const { apparent, used } = await sizesOf(path);
    expect(apparent).toBe(slotBytes);
    expect(used).toBeLessThan(16 * 2 ** 20);
    expect((await stat(path)).mode & 0o777).toBe(0o444);
  });

  it.skipIf(!canMount)("has what the layers leave, with owners, modes, times, links and volumes", async () => {
    await using place = await openDisks();
    const lower: readonly LayerEntry[] = [
      ...(await busyboxLayer()),
      { name: "gone", content: "" },
      { name: "tree/a/b", content: "" },
      { name: "opaque/old", content: "" },
      { name: "file-to-directory", content: "" },
      { name: "srv/", type: "directory", mode: 0o2750, uid: 5, gid: 6 },
      { name: "setuid", mode: 0o4755, uid: 100_000, gid: 200_000, content: "x" },
      { name: "hard", content: "hard", mtime: new Date(1_234_567_890_000) },
      { name: "hard-2", type: "link", linkname: "hard" },
      { name: "n".repeat(255), content: "long name" },
      { name: "new\nline", content: "name" },
      { name: "link", type: "symlink", linkname: "t".repeat(100), uid: 7 },
    ];
    const upper: readonly LayerEntry[] = [
      { name: ".wh.gone", content: "" },
      { name: ".wh.tree", content: "" },
      { name: "opaque/.wh..wh..opq", content: "" },
      { name: "opaque/new", content: "new" },
      { name: "file-to-directory/below", content: "" },
      { name: "etc/passwd", content: "root:x:0:0:root:/:/bin/sh\n" },
    ];
    const config = { Volumes: { "/srv/volume/deep": {}, "/other": {} } };

    const { path } = await place.prepare(
      await place.add([lower, upper, [{ name: "tree/again", content: "" }]], config),
    );

    await checkDisk(path);
    const facts = await readDisk(path);
    const names = facts.flatMap((line) => (/^[dfl] /.test(line) ? [line.slice(line.lastIndexOf(" ") + 1)] : []));
    expect(names).toEqual(expect.arrayContaining(["tree", "tree/again", "opaque/new", "file-to-directory/below"]));
    for (const name of ["gone", "tree/a", "opaque/old", "lost+found"]) expect(names).not.toContain(name);
    const fact = (name: string) => facts.find((line) => /^[dfl] /.test(line) && line.endsWith(` ${name}`));
    expect(fact("srv")).toMatch(/^d 2750 5 6 /);
    expect(fact("srv/volume/deep")).toMatch(/^d 755 0 0 /);
    expect(fact("other")).toMatch(/^d 755 0 0 /);
    expect(fact("setuid")).toMatch(/^f 4755 100000 200000 /);
    expect(fact("hard")).toMatch(/^f 644 0 0 1234567890\.0+ 4 2 /);
    expect(facts).toContain("same hard hard-2");
    expect(fact("n".repeat(255))).toBeDefined();
    expect(fact("new\nline")).toBeDefined();
    expect(fact("link")).toMatch(/^l 777 7 0 /);
    expect(fact("root")).toMatch(/^d 700 0 0 /);
    expect(fact("tmp")).toMatch(/^d 1777 0 0 /);
  });

  it("is shared by images with the same layers, and not by one with another volume", async () => {
    await using place = await openDisks();
    const layers = [await busyboxLayer()];

    const first = await place.prepare(await place.add(layers, { Env: ["A=1"] }));
    const second = await place.prepare(await place.add(layers, { Env: ["A=2"] }));
    const third = await place.prepare(await place.add(layers, { Volumes: { "/volume": {} } }));

    expect(second.path).toBe(first.path);
    expect(second.env).toEqual(["A=2"]);
    expect(third.path).not.toBe(first.path);
  });

  it("is not made for an image without a shell or one that is larger than a slot", async () => {
    await using place = await openDisks({ slotBytes: 8 * 2 ** 20 });
    const large = [...(await busyboxLayer()), { name: "large", content: Buffer.alloc(9 * 2 ** 20, 1) }];

    await expect(place.prepare(await place.addImage(await shellLessImage()))).rejects.toMatchObject({
      reason: "image-invalid",
    });
    await expect(place.prepare(await place.add([large]))).rejects.toMatchObject({
      reason: "image-invalid",
      message: expect.stringMatching(/does not fit into a disk of 8(\.0)? MiB$/),
    });
    expect(await place.files()).toEqual([]);
    expect(await readdir(join(place.directory, "tmp"))).toEqual([]);
  });

  it("of an image of 5 GiB takes as much space as the image, and bounded memory", { timeout: 60_000 }, async () => {
    await using place = await openDisks({ slotBytes: 64 * 2 ** 30 });
    const image = await place.add([[...(await busyboxLayer()), { name: "large", content: "x" }]]);
    // Unpacks the layer, whose file then grows. The archive of such a file would take long to make.
    await rm((await place.prepare(image)).path);
    const [layer = ""] = await readdir(place.layersDirectory);
    await truncate(join(place.layersDirectory, layer, "large"), 5 * 2 ** 30);
    const before = process.memoryUsage().rss;

    const { path } = await place.prepare(image);

    expect(process.memoryUsage().rss - before).toBeLessThan(96 * 2 ** 20);
    expect((await sizesOf(path)).used).toBeLessThan(32 * 2 ** 20);
    expect(await outputOf(["debugfs", "-R", "stat large", path])).toMatch(/Size: 5368709120/);
  });

  it("leaves nothing when every caller aborts, and is made for the next one", async () => {
    await using place = await openDisks();
    const files = Array.from({ length: 2000 }, (_, index) => ({ name: `files/${index}`, content: "x" }));
    const image = await place.add([[...(await busyboxLayer()), ...files]]);
    const reason = new Error("canceled");
    const controller = new AbortController();
    const stopAtDisk = (text: string) => {
      if (text.startsWith("making")) setImmediate(() => controller.abort(reason));
    };
    using hold = place.disks.hold();

    const aborted = place.disks.prepare(image, { signal: controller.signal, progress: stopAtDisk, hold });
    await expect(aborted).rejects.toBe(reason);
    const { path } = await place.prepare(image);

    await checkDisk(path);
    expect(await place.files()).toHaveLength(1);
    expect(await readdir(join(place.directory, "tmp"))).toEqual([]);
  });

  it("is evicted least recently used first, but never while a guest of any process uses it", async () => {
    await using place = await openDisks({ maximumBytes: 1 });
    using hold = place.disks.hold();
    const options = { signal: never, progress: () => {} };
    const layer = await busyboxLayer();
    const kept = await place.disks.prepare(await place.add([layer]), { ...options, hold });
    await place.prepare(await place.add([[...layer, { name: "other", content: "" }]]));
    await using other = await place.another();

    expect(await place.disks.evict({ signal: never })).toEqual([expect.stringMatching(/^removed 1 image disks, /)]);
    expect(await other.evict({ signal: never })).toEqual([]);

    expect(await place.files()).toEqual([basename(kept.path)]);
    hold[Symbol.dispose]();
    await place.disks.evict({ signal: never });
    expect(await place.files()).toEqual([]);
  });

  it("that a killed process did not finish is removed at the next start, those of running processes are not", async () => {
    await using place = await openDisks();
    const child = spawn("sleep", ["0"]);
    const { pid } = child;
    await once(child, "exit");
    await writeFile(join(place.directory, "tmp", `${pid}-1-left`), "");
    const running = `${processIdentity()}-running`;
    await writeFile(join(place.directory, "tmp", running), "");

    await using _other = await place.another();

    expect(await readdir(join(place.directory, "tmp"))).toEqual([running]);
  });
});

async function openDisks(options: Partial<ImageDisksOptions> = {}) {
  const place = await temporaryDirectory("airlock-disks-");
  const isRoot = process.geteuid?.() === 0;
  const images = await ImageStore.open({
    directory: join(place.path, "images"),
    style: isRoot ? "overlay" : "flat",
    ...{ keepOwners: isRoot, idRange: null, registry: {} },
  });
  const directory = join(place.path, "disks");
  const open = () => ImageDisks.open({ directory, images, slotBytes, maximumBytes: null, ...options });
  const disks = await open();
  let archives = 0;
  const addImage = async (image: FixtureImage) => {
    archives += 1;
    const path = join(place.path, `archive-${archives}`);
    const reference = `localhost/test/image:${archives}`;
    await writeFile(path, await dockerArchive(image, reference));
    await images.load(path, { signal: never });
    return reference;
  };
  await mkdir(directory, { recursive: true });
  return {
    directory,
    layersDirectory: images.layersDirectory,
    disks,
    addImage,
    add: async (layers: readonly (readonly LayerEntry[])[], config: ImageConfig = {}) =>
      addImage(await buildImage(layers, config)),
    async prepare(image: string, words: string[] = []) {
      using hold = disks.hold();
      return await disks.prepare(image, { signal: never, progress: (text) => void words.push(text), hold });
    },
    async another() {
      const other = await open();
      return Object.assign(other, { [Symbol.asyncDispose]: () => other.close() });
    },
    files: () => readdir(join(directory, "disks")),
    async [Symbol.asyncDispose]() {
      await disks.close();
      await images.close();
      await place[Symbol.asyncDispose]();
    },
  };
}
