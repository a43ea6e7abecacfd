import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GuestAgent } from "./guest-agent.ts";
import type { GuestStep } from "./step-spec.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";
import { walkGuestTree } from "./walk-guest-tree.ts";

const signal = AbortSignal.timeout(55_000);
const mebibyte = 2 ** 20;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

describe.skipIf(process.geteuid?.() !== 0)("files of a guest whose agent is process 1 of namespaces", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal);
  const run = (agent: GuestAgent, what: GuestStep) => runCollected(agent, what, signal);

  it("writes, reads, lists and removes files of the workspace without following links", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await run(
      agent,
      shell(
        "ln -s /etc out; ln -s /proc/1/environ environ; mkfifo pipe; mkdir dir; echo x > dir/x; ln -s ../.. dir/up",
      ),
    );
    const content = randomBytes(300_000);
    const put = (path: string) =>
      agent.putFile(
        { place: "workspace", path: Buffer.from(path), mode: 0o777, modifiedAt: new Date(86_400_123), content },
        signal,
      );
    await put("deep/er/file");
    await expect(put("out/passwd")).rejects.toMatchObject({ code: "not-a-file" });
    await expect(put("pipe")).rejects.toMatchObject({ code: "not-a-file" });
    await expect(put("environ")).rejects.toMatchObject({ code: "not-a-file" });
    await expect(put("../escape")).rejects.toMatchObject({ code: "invalid" });
    const read = (path: string, maximumBytes = mebibyte) => agent.readFile(Buffer.from(path), { signal, maximumBytes });
    expect((await read("deep/er/file"))?.equals(content)).toBe(true);
    expect(await read("out/passwd")).toBeNull();
    expect(await read("dir/up/data/dir/x")).toBeNull();
    expect(await read("missing")).toBeNull();
    await expect(read("pipe")).rejects.toMatchObject({ code: "not-a-file" });
    await expect(read("deep/er/file", 10)).rejects.toMatchObject({ code: "file-too-large" });
    const part = await agent.readFile(Buffer.from("deep/er/file"), {
      signal,
      maximumBytes: mebibyte,
      part: { offset: 100, length: 50 },
    });
    expect(part?.equals(content.subarray(100, 150))).toBe(true);

    const entries = (await agent.list(Buffer.alloc(0), { entries: 100, bytes: 1e6 }, signal)) ?? [];
    const kinds = Object.fromEntries(Array.from(entries, ({ name, stats }) => [name.toString(), stats.kind]));
    expect(kinds).toEqual({ out: "link", environ: "link", pipe: "other", dir: "directory", deep: "directory" });
    expect(await agent.list(Buffer.from("out"), { entries: 100, bytes: 1e6 }, signal)).toBeNull();
    await expect(agent.list(Buffer.alloc(0), { entries: 3, bytes: 1e6 }, signal)).rejects.toMatchObject({
      code: "too-many-files",
    });
    const [file] = (await agent.list(Buffer.from("deep/er"), { entries: 100, bytes: 1e6 }, signal)) ?? [];
    expect(file?.stats).toEqual({ kind: "file", size: 300_000, mode: 0o777, modifiedMs: 86_400_123 });
    expect((await agent.readLink(Buffer.from("out"), signal)).toString()).toBe("/etc");
    await agent.removeFile(Buffer.from("out"), signal);
    await agent.removeFile(Buffer.from("dir/up/data/pipe"), signal);
    await agent.removeFile(Buffer.from("missing/file"), signal);
    expect((await run(agent, shell("ls"))).stdout).toBe("deep\ndir\nenviron\npipe\n");
  });

  it("walks the tree in byte order and follows no link", async () => {
    await using booted = await boot();
    await run(
      booted.agent,
      shell("mkdir -p b/c/d; echo 1 > b/z; echo 22 > b/c/y; ln -s /etc b/link; echo 3 > a; : > skipped"),
    );
    const walk = (path: string, maximumDepth: number, maximumEntries = 100) =>
      walkGuestTree<number>(booted.agent, Buffer.from(path), {
        signal,
        start: 0,
        advance: (depth, name) => (name.toString() === "skipped" ? null : depth + 1),
        maximumDepth,
        maximumEntries,
      });
    const seen: string[] = [];
    for await (const entry of walk("", 10)) {
      let text = `${entry.path} ${entry.stats.kind} ${entry.state}`;
      if (entry.stats.kind === "link") text += ` ${await entry.readLink()}`;
      if (entry.stats.kind === "file")
        for await (const bytes of entry.contents()) text += ` ${bytes.toString().trim()}`;
      seen.push(text);
    }
    const expected = ["a file 1 3", "b directory 1", "b/c directory 2", "b/c/d directory 3", "b/c/y file 3 22"];
    expect(seen).toEqual([...expected, "b/link link 2 /etc", "b/z file 2 1"]);
    expect((await collect(walk("b", 0))).map(({ path }) => path.toString())).toEqual(["c", "link", "z"]);
    expect(await collect(walk("b/link", 9))).toEqual([]);
    await expect(collect(walk("", 9, 4))).rejects.toMatchObject({ code: "too-many-files" });
  });

  it("says that paths are too long for it when a step nests directories that deep", async () => {
    await using booted = await boot();
    const { agent } = booted;
    const name = "n".repeat(250);
    await run(agent, shell(`i=0; while [ $i -lt 17 ]; do mkdir ${name}; cd ${name}; i=$((i + 1)); done`));
    const options = { start: 0, advance: () => 0, maximumEntries: 100, maximumDepth: 1000, signal };
    const paths: number[] = [];
    const walk = async () => {
      for await (const { path } of walkGuestTree(agent, Buffer.alloc(0), options)) paths.push(path.length);
    };
    await expect(walk()).rejects.toMatchObject({ code: "unreadable", message: "a path is longer than 4095 bytes" });
    expect(paths).toHaveLength(17);
  });

  it("lists a directory of 5,000 entries", async () => {
    await using booted = await boot();
    await run(
      booted.agent,
      shell("i=0; while [ $i -lt 5000 ]; do : > a-rather-long-name-of-a-file-$i; i=$((i+1)); done"),
    );
    expect(await booted.agent.list(Buffer.alloc(0), { entries: 5000, bytes: 1e6 }, signal)).toHaveLength(5000);
  });

  it("reports a full workspace and stays usable", async () => {
    await using booted = await boot();
    const content = Buffer.alloc(80 * mebibyte);
    const file = { place: "workspace", path: Buffer.from("big"), mode: 0o777, modifiedAt: undefined } as const;
    await expect(booted.agent.putFile({ ...file, content }, signal)).rejects.toMatchObject({ code: "no-space" });
    await booted.agent.removeFile(Buffer.from("big"), signal);
    await booted.agent.putFile({ ...file, content: Buffer.from("small") }, signal);
  });

  it("can be reseeded, and refuses a second transfer and a canceled one", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await agent.reseed(randomBytes(32), new Date(), signal);
    const abort = new AbortController();
    const begun = Promise.withResolvers<void>();
    async function* endless() {
      for (;;) {
        yield Buffer.alloc(1000);
        begun.resolve();
        await setImmediate();
      }
    }
    const file = { place: "workspace", path: Buffer.from("f"), mode: 0o777, modifiedAt: undefined } as const;
    const putting = agent.putFile({ ...file, content: endless() }, abort.signal);
    await begun.promise;
    await expect(agent.list(Buffer.alloc(0), { entries: 10, bytes: 1e6 }, signal)).rejects.toMatchObject({
      code: "busy",
    });
    abort.abort(new Error("canceled"));
    await expect(putting).rejects.toThrow("canceled");
    expect(await agent.list(Buffer.alloc(0), { entries: 10, bytes: 1e6 }, signal)).toHaveLength(1);
  });

  it("reports a failing source of a file and stays usable", async () => {
    await using booted = await boot();
    async function* failing() {
      yield Buffer.alloc(1000);
      throw new Error("the source failed");
    }
    const file = { place: "workspace", path: Buffer.from("f"), mode: 0o777, modifiedAt: undefined } as const;
    await expect(booted.agent.putFile({ ...file, content: failing() }, signal)).rejects.toThrow("the source failed");
    await booted.agent.putFile({ ...file, content: Buffer.from("whole") }, signal);
    const read = await booted.agent.readFile(Buffer.from("f"), { signal, maximumBytes: 10 });
    expect(read?.toString()).toBe("whole");
  });
});
