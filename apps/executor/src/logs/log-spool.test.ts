import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { LogSpool, type SpooledEvent } from "./log-spool.ts";

const block = 256 * 1024;

function textOf(event: SpooledEvent): string {
  if (event.kind === "chunk") return event.bytes.toString("latin1");
  return event.kind === "note" ? `<note>${event.text}</note>` : `<${event.kind}>`;
}

async function drain(spool: LogSpool): Promise<string> {
  let text = "";
  while (!spool.isEmpty) {
    for (const event of await spool.take(1000, 1024 * 1024)) {
      text += textOf(event);
    }
  }
  return text;
}

/** Fills the memory while the instance is away, and spills `blocks` more blocks, each of a different letter. */
async function fill(spool: LogSpool, blocks: number): Promise<string> {
  spool.spilling = true;
  let written = "";
  for (let i = 0; i < 17 + blocks; i += 1) {
    const letter = String.fromCharCode(97 + (i % 26));
    written += letter.repeat(block);
    await spool.append(1, "stdout", Buffer.alloc(block, letter));
  }
  return written;
}

it("the log spool returns unchanged what it wrote to disk, between its marks", async () => {
  await using directory = await temporaryDirectory();
  await using spool = new LogSpool(join(directory.path, "new", "spool"));
  spool.mark({ kind: "open", entryId: 1, key: "a", command: [], startTime: "" });
  const written = await fill(spool, 8);
  spool.mark({ kind: "close", entryId: 1, exitCode: 0, durationMs: 1 });

  expect(spool.memoryBytes).toBeLessThan(5 * 1024 * 1024);
  expect(await readdir(join(directory.path, "new"))).toEqual([]);
  expect((await drain(spool)) === `<open>${written}<close>`).toBe(true);
  expect(spool.lostBytes).toBe(0);
});

it("the log spool keeps streams separate and in order, however small the pieces are, in bounded memory", async () => {
  await using directory = await temporaryDirectory();
  await using spool = new LogSpool(join(directory.path, "spool"));
  spool.spilling = true;
  const before = process.memoryUsage().heapUsed;
  const pieces = 2_000_000;
  for (let i = 0; i < pieces; i += 1) {
    const wait = spool.append(1, i % 2 ? "stdout" : "stderr", Buffer.from([i % 251]));
    if (wait) await wait;
  }
  // Two million objects would take hundreds of megabytes.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);

  let at = 0;
  while (!spool.isEmpty) {
    for (const event of await spool.take(100_000, 1024 * 1024)) {
      if (event.kind !== "chunk") continue;
      if (event.bytes.length !== 1 || event.bytes[0] !== at % 251) expect.fail(`piece ${at} is another one`);
      if (event.stream !== (at % 2 ? "stdout" : "stderr")) expect.fail(`piece ${at} is of another stream`);
      at += 1;
    }
  }
  expect(at).toBe(pieces);
}, 30_000);

it("the log spool blocks the writer while it may not use the disk, and releases it when it may", async () => {
  await using directory = await temporaryDirectory();
  await using spool = new LogSpool(join(directory.path, "spool"));
  await spool.append(1, "stdout", Buffer.alloc(4 * 1024 * 1024 - 100_000));
  let isOver = false;
  const waiting = Promise.resolve(spool.append(1, "stdout", Buffer.alloc(200_000))).then(() => {
    isOver = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isOver).toBe(false);
  spool.spilling = true;
  await waiting;
});

it("the log spool notes in the log what a full disk could not take, and continues when there is room again", async () => {
  await using directory = await temporaryDirectory();
  // The mount is in the mount namespace of a child process, so that nothing is left behind.
  const script = `mount -t tmpfs -o size=600k tmpfs ${directory.path} && echo ready && exec cat`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script]);
  await once(holder.stdout, "data");
  try {
    const spool = new LogSpool(join(`/proc/${holder.pid}/root`, directory.path, "spool"));
    const written = await fill(spool, 5);
    spool.mark({ kind: "close", entryId: 1, exitCode: 0, durationMs: 1 });

    const text = await drain(spool);

    const missing =
      /<note>([\d.]+ KiB) of output are missing here: the executor could not store them: [^<]*ENOSPC[^<]*<\/note>/g;
    const notes = [...text.matchAll(missing)];
    expect(notes.length).toBeGreaterThanOrEqual(2);
    expect(text.endsWith("<close>")).toBe(true);
    expect(spool.lostBytes).toBe(notes.length * block);
    const kept = text.replaceAll(/<note>[^<]*<\/note>/g, "").replace("<close>", "");
    expect(kept.length).toBe(written.length - spool.lostBytes);
    // The output before the gap is complete.
    expect(written.startsWith(kept.slice(0, 17 * block))).toBe(true);

    // Everything was taken, so the file is written from its beginning again.
    const again = await fill(spool, 0);
    expect((await drain(spool)) === again).toBe(true);
    await spool[Symbol.asyncDispose]();
  } finally {
    holder.stdin.end();
    await once(holder, "exit");
  }
});

it("the log spool of a killed process leaves neither a file nor used disk space", async () => {
  await using directory = await temporaryDirectory();
  const program = `
    import { LogSpool, type SpooledEvent } from ${JSON.stringify(join(import.meta.dirname, "log-spool.ts"))};
    const spool = new LogSpool(${JSON.stringify(join(directory.path, "spool"))});
    spool.spilling = true;
    for (let i = 0; i < 40; i += 1) await spool.append(1, "stdout", Buffer.alloc(${block}));
    console.log("spilled");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  const descriptors = `/proc/${child.pid}/fd`;
  const links = (await readdir(descriptors)).map((name) => readlink(join(descriptors, name)).catch(() => ""));
  expect((await Promise.all(links)).join()).toContain("spool (deleted)");
  child.kill("SIGKILL");
  await once(child, "exit");

  expect(await readdir(directory.path)).toEqual([]);
});
