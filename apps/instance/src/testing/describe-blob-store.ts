import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { AirlockError } from "@airlock/job";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BlobEntry, BlobStore } from "../blobs/blob-store.ts";
import type { BlobStoreSettings } from "./blob-store-child.ts";

const run = promisify(execFile);
const child = fileURLToPath(new URL("blob-store-child.ts", import.meta.url));
const mebibyte = 1 << 20;
const { signal } = new AbortController();
const options = { signal, maxBytes: 64 * mebibyte };

export interface BlobStoreTarget extends AsyncDisposable {
  /** An empty store. */
  readonly settings: BlobStoreSettings;
  open(): Promise<BlobStore>;
  /** Remains of failed writes, which readers of the store can't see. */
  leftovers(): Promise<readonly string[]>;
}

/** Contract that every blob store must fulfill. */
export function describeBlobStore(start: () => Promise<BlobStoreTarget>): void {
  let target: BlobStoreTarget;
  let store: BlobStore;
  beforeAll(async () => {
    target = await start();
    store = await target.open();
  });
  afterAll(async () => {
    await store?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
  });

  const put = (key: string, contents: string | Buffer) =>
    store.put(key, Readable.from([Buffer.from(contents)]), options);
  const read = async (key: string, range?: { offset: number; length?: number }) => {
    const content = await store.get(key, { signal, ...(range ? { range } : {}) });
    return content && { ...content, stream: undefined, text: await text(content.stream) };
  };
  const keys = async (prefix: string) => (await entries(store.list(prefix, { signal }))).map(({ key }) => key);

  it("returns a stored blob with its size and digest", async () => {
    const stored = await put("round/trip", "hello");
    expect(stored).toEqual({ bytes: 5, sha256: createHash("sha256").update("hello").digest("hex") });
    expect(await read("round/trip")).toMatchObject({ text: "hello", bytes: 5, totalBytes: 5 });
    expect(await read("round/other")).toBeNull();
  });

  it("stores empty blobs", async () => {
    expect((await store.put("empty", Readable.from([]), options)).bytes).toBe(0);
    expect(await read("empty")).toMatchObject({ text: "", bytes: 0, totalBytes: 0 });
  });

  it("stores a blob whose key is the parent of another key", async () => {
    await put("nested/a", "parent");
    await put("nested/a/b", "child");
    expect((await read("nested/a"))?.text).toBe("parent");
    expect((await read("nested/a/b"))?.text).toBe("child");
  });

  it("stores blobs of several parts unchanged", async () => {
    // A part has 8 MiB in stores with parts.
    for (const size of [8 * mebibyte - 1, 8 * mebibyte, 8 * mebibyte + 1, 20 * mebibyte + 7]) {
      const contents = Buffer.alloc(size, "0123456789abcde");
      const { sha256 } = await store.put("parts", Readable.from(slices(contents, 700_001)), options);
      const content = await store.get("parts", { signal });
      const back = content ? await buffer(content.stream) : Buffer.alloc(0);
      expect([back.length, createHash("sha256").update(back).digest("hex")]).toEqual([size, sha256]);
    }
  });

  it("reads ranges", async () => {
    await put("range", "0123456789");
    expect(await read("range", { offset: 3, length: 4 })).toMatchObject({ text: "3456", bytes: 4, totalBytes: 10 });
    expect(await read("range", { offset: 8 })).toMatchObject({ text: "89", bytes: 2, totalBytes: 10 });
    expect(await read("range", { offset: 9, length: 100 })).toMatchObject({ text: "9", bytes: 1, totalBytes: 10 });
    for (const range of [{ offset: 10 }, { offset: -1 }, { offset: 1.5 }, { offset: 0, length: 0 }]) {
      await expect(read("range", range)).rejects.toMatchObject({ code: "blob-range-invalid" });
    }
    expect(await read("range-of-nothing", { offset: 3 })).toBeNull();
  });

  it("refuses a blob that is larger than allowed and stores nothing", async () => {
    for (const [size, maxBytes] of [
      [11, 10],
      [30 * mebibyte, 25 * mebibyte],
    ] as const) {
      const body = Readable.from(slices(Buffer.alloc(size), 100_000));
      await expect(store.put("large/one", body, { signal, maxBytes })).rejects.toMatchObject({
        code: "blob-too-large",
      });
      expect(body.destroyed).toBe(true);
    }
    await store.put("large/exact", Readable.from([Buffer.alloc(10)]), { signal, maxBytes: 10 });
    expect(await keys("large/")).toEqual(["large/exact"]);
    expect(await target.leftovers()).toEqual([]);
  });

  it("keeps the earlier blob when its replacement fails", async () => {
    await put("replaced", "first");
    async function* broken(mebibytes: number) {
      for (let written = 0; written < mebibytes; written++) yield Buffer.alloc(mebibyte);
      throw new Error("the sender hung up");
    }
    for (const mebibytes of [1, 20]) {
      const body = Readable.from(broken(mebibytes));
      await expect(store.put("replaced", body, options)).rejects.toThrow("the sender hung up");
    }
    expect((await read("replaced"))?.text).toBe("first");
    expect(await target.leftovers()).toEqual([]);
    await put("replaced", "second");
    expect((await read("replaced"))?.text).toBe("second");
  });

  it("stops at once with the reason when it is aborted, and stores nothing", async () => {
    for (const mebibytes of [1, 20]) {
      const controller = new AbortController();
      const reason = new Error("the job was canceled");
      async function* stalled() {
        for (let written = 0; written < mebibytes; written++) yield Buffer.alloc(mebibyte);
        setTimeout(() => controller.abort(reason), 20);
        await once(controller.signal, "abort");
        await new Promise(() => {});
      }
      const body = Readable.from(stalled());
      await expect(store.put("aborted/blob", body, { ...options, signal: controller.signal })).rejects.toBe(reason);
      expect(body.destroyed).toBe(true);
    }
    const aborted = AbortSignal.abort(new Error("too late"));
    const body = Readable.from(["x"]);
    await expect(store.put("aborted/blob", body, { ...options, signal: aborted })).rejects.toThrow("too late");
    expect(body.destroyed).toBe(true);
    await expect(store.get("replaced", { signal: aborted })).rejects.toThrow("too late");
    expect(await keys("aborted/")).toEqual([]);
    expect(await target.leftovers()).toEqual([]);
  });

  it("opens no stream for a reader that disconnects meanwhile", async () => {
    await put("reading", "content");
    const controller = new AbortController();
    const content = store.get("reading", { signal: controller.signal });
    controller.abort(new Error("the reader disconnected"));
    await expect(content).rejects.toThrow("the reader disconnected");
  });

  it("ends a reader's stream when it is aborted", async () => {
    await put("reading", Buffer.alloc(4 * mebibyte));
    const controller = new AbortController();
    const content = await store.get("reading", { signal: controller.signal });
    controller.abort(new Error("the reader disconnected"));
    await expect(buffer(content?.stream ?? expect.unreachable())).rejects.toThrow();
  });

  it("keeps the complete blob of one of several concurrent writers", async () => {
    const contents = ["a", "b", "c", "d"].map((letter) => letter.repeat(mebibyte));
    await put("contended", contents[0] ?? "");
    let writing = true;
    const readers = (async () => {
      while (writing) expect(contents).toContain((await read("contended"))?.text);
    })();
    await Promise.all(
      contents.map((each) => store.put("contended", Readable.from(slices(Buffer.from(each), 9_999)), options)),
    );
    writing = false;
    await readers;
    expect(contents).toContain((await read("contended"))?.text);
    expect(await target.leftovers()).toEqual([]);
  });

  it("lists keys in byte order, and only below whole path segments", async () => {
    const expected = ["l/1-a", "l/1.a", "l/1/a", "l/1/b/c", "l/1/b0", "l/10", "l/1_a"];
    for (const key of [...expected].reverse()) await put(key, key);
    expect(await entries(store.list("l/", { signal }))).toEqual(expected.map((key) => ({ key, bytes: key.length })));
    expect(await keys("l/1/")).toEqual(["l/1/a", "l/1/b/c", "l/1/b0"]);
    expect(await keys("l/none/")).toEqual([]);
    expect(await keys("")).toEqual(expect.arrayContaining(expected));
  });

  it("lists and deletes more keys than fit on a page", async () => {
    await Promise.all(Array.from({ length: 60 }, (_, number) => put(`many/${number}`, "x")));
    expect(new Set(await keys("many/")).size).toBe(60);
    await store.deletePrefix("many/", { signal });
    expect(await keys("many/")).toEqual([]);
  });

  it("deletes blobs, and accepts keys that do not exist", async () => {
    await put("d/1/a", "x");
    await put("d/1/b", "x");
    await put("d/10/a", "x");
    await store.delete("d/1/a", { signal });
    await store.delete("d/1/a", { signal });
    await store.delete("d/never/was", { signal });
    expect(await keys("d/")).toEqual(["d/1/b", "d/10/a"]);
    await store.deletePrefix("d/1/", { signal });
    await store.deletePrefix("d/1/", { signal });
    expect(await keys("d/")).toEqual(["d/10/a"]);
  });

  it("loses no blob that is stored while its neighbours are deleted", async () => {
    await Promise.all(
      Array.from({ length: 20 }, async (_, number) => {
        await put(`busy/dir/${number}`, "x");
        await store.delete(`busy/dir/${number}`, { signal });
        await put(`busy/dir/${number}`, "y");
      }),
    );
    expect((await keys("busy/")).length).toBe(20);
  });

  it("refuses invalid keys", async () => {
    const hostile = [
      "",
      "/",
      "/etc/passwd",
      "a//b",
      "a/",
      "../a",
      "a/../b",
      "a/./b",
      ".",
      "..",
      "A",
      "ä",
      "a\0b",
      "a\\b",
    ];
    hostile.push("a b", "a@", "a\n", "%2e%2e/a", "a".repeat(129), `${"a/".repeat(256)}b`);
    for (const key of hostile) {
      const body = Readable.from(["x"]);
      await expect(store.put(key, body, options), key).rejects.toMatchObject({ code: "blob-key-invalid" });
      expect(body.destroyed).toBe(true);
      await expect(store.get(key, { signal }), key).rejects.toMatchObject({ code: "blob-key-invalid" });
      await expect(store.delete(key, { signal }), key).rejects.toMatchObject({ code: "blob-key-invalid" });
    }
    for (const prefix of ["", "/", "a", "../", "a/../", "a//", "./"]) {
      await expect(store.deletePrefix(prefix, { signal }), prefix).rejects.toMatchObject({ code: "blob-key-invalid" });
      if (prefix !== "") await expect(keys(prefix), prefix).rejects.toMatchObject({ code: "blob-key-invalid" });
    }
  });

  it("stores a blob under exactly its key or refuses the key", async () => {
    const anyKey = fc.string({ unit: fc.constantFrom(..."ab09._-/"), minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(anyKey, async (key) => {
        try {
          await put(`any/${key}`, key);
        } catch (error) {
          expect((error as AirlockError).code).toBe("blob-key-invalid");
          return;
        }
        expect((await read(`any/${key}`))?.text).toBe(key);
        expect(await keys("any/")).toEqual([`any/${key}`]);
        await store.delete(`any/${key}`, { signal });
        expect(await keys("any/")).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it("shows nothing of a blob whose writer was killed", async () => {
    const writer = spawn(process.execPath, [child, "put-forever", JSON.stringify(target.settings)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(writer.stdout, "data");
    writer.kill("SIGKILL");
    await once(writer, "exit");
    await using reopened = await target.open();
    expect(await reopened.get("killed/blob", { signal })).toBeNull();
    expect(await entries(reopened.list("killed/", { signal }))).toEqual([]);
  });

  it("writes and reads 200 MiB with constant memory", async () => {
    const { stdout } = await run(process.execPath, [child, "measure-memory", JSON.stringify(target.settings)]);
    expect(Number(stdout)).toBeLessThan(120);
    await store.deletePrefix("large/", { signal });
  });
}

export async function entries(listing: AsyncIterable<BlobEntry>): Promise<BlobEntry[]> {
  const found: BlobEntry[] = [];
  for await (const entry of listing) found.push(entry);
  return found;
}

function* slices(contents: Buffer, size: number): Generator<Buffer> {
  for (let start = 0; start < contents.length; start += size) yield contents.subarray(start, start + size);
}
