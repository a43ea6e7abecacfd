import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { InstanceError } from "../instance-client/instance-error.ts";
import type { OutgoingLogEvent } from "../instance-client/log-batch-json.ts";
import { ChunkSink, remainderAfterConflict, type SendLogs } from "./chunk-sink.ts";

const header = { key: "step.docker.0", command: ["sh"], startTime: new Date(0) };
const unavailable = () => new InstanceError("no answer", { code: "instance-unreachable", status: null });

/** Puts entries together by their offsets, as an instance does. */
class Store {
  readonly events: OutgoingLogEvent[] = [];
  text = "";
  batches = 0;

  readonly send: SendLogs = async (events) => {
    this.batches += 1;
    for (const event of events) {
      this.events.push(event);
      if (event.kind !== "chunk") continue;
      expect(event.offset).toBe(Buffer.byteLength(this.text, "latin1"));
      this.text += event.bytes.toString("latin1");
    }
  };
}

const forever = () => new AbortController().signal;

describe("log chunks", () => {
  it("arrive in order, with contiguous offsets, between open and close", async () => {
    const store = new Store();
    const sink = new ChunkSink(store.send, "/nonexistent/spool");
    const entry = sink.open(header);
    for (const text of ["one ", "two ", "three"]) await sink.append(entry, "stdout", Buffer.from(text));
    sink.close(entry, 3, 12.7);

    expect(await sink.finish(forever())).toEqual({ kind: "delivered" });

    expect(store.text).toBe("one two three");
    expect(store.events[0]).toMatchObject({ kind: "open", entryId: 1 });
    expect(store.events.at(-1)).toEqual({ kind: "close", entryId: 1, exitCode: 3, durationMs: 13 });
  });

  it("have numbered notes between them, with the offset that the output had reached", async () => {
    const store = new Store();
    const sink = new ChunkSink(store.send, "/nonexistent/spool");
    const [first, second] = [sink.open(header), sink.open(header)];
    sink.note(first, "before");
    await sink.append(first, "stdout", Buffer.from("one"));
    sink.note(second, "of the second");
    sink.note(first, "after");
    sink.close(first, 0, 1);

    expect(await sink.finish(forever())).toEqual({ kind: "delivered" });

    expect(store.events.filter((event) => event.kind === "note")).toEqual([
      { kind: "note", entryId: 1, noteId: 1, offset: 0, text: "before" },
      { kind: "note", entryId: 2, noteId: 1, offset: 0, text: "of the second" },
      { kind: "note", entryId: 1, noteId: 2, offset: 3, text: "after" },
    ]);
    expect(store.events.map(({ kind }) => kind)).toEqual(["open", "open", "note", "chunk", "note", "note", "close"]);
  });

  it("are sent immediately at first, then batched", async () => {
    const store = new Store();
    const sink = new ChunkSink(store.send, "/nonexistent/spool");
    const entry = sink.open(header);
    await sink.append(entry, "stdout", Buffer.from("first"));
    await sleep(20);
    expect(store.text).toBe("first");
    const before = store.batches;

    for (let i = 0; i < 200; i += 1) {
      await sink.append(entry, "stdout", Buffer.from("x"));
      await sleep(1);
    }
    await sink.finish(forever());

    expect(store.batches - before).toBeLessThan(20);
    expect(store.text).toBe(`first${"x".repeat(200)}`);
  });

  it("make a fast writer wait for a slow instance, so that memory use stays flat", async () => {
    let releaseFirst: () => void = () => {};
    const released = new Promise<void>((resolve) => {
      releaseFirst = resolve;
    });
    let received = 0;
    const sink = new ChunkSink(async (events) => {
      await released;
      for (const event of events) if (event.kind === "chunk") received += event.bytes.length;
    }, "/nonexistent/spool");
    const entry = sink.open(header);
    let written = 0;
    const writing = (async () => {
      for (let i = 0; i < 400; i += 1) {
        await sink.append(entry, "stdout", Buffer.alloc(64 * 1024));
        written += 64 * 1024;
      }
    })();
    await sleep(100);

    expect(written).toBeLessThan(8 * 1024 * 1024);
    releaseFirst();
    await writing;
    await sink.finish(forever());
    expect(received).toBe(400 * 64 * 1024);
  });

  it("are stored on disk while the instance does not answer, so that the job goes on, and arrive later", async () => {
    await using directory = await temporaryDirectory();
    const store = new Store();
    let isUp = false;
    const sink = new ChunkSink(
      async (events, signal) => {
        if (!isUp) throw unavailable();
        await store.send(events, signal);
      },
      join(directory.path, "spool"),
    );
    const entry = sink.open(header);
    await sleep(50);
    const expected: string[] = [];
    for (let i = 0; i < 300; i += 1) {
      const text = `${i}:`.padEnd(64 * 1024, String(i % 10));
      expected.push(text);
      await sink.append(entry, i % 2 ? "stdout" : "stderr", Buffer.from(text));
    }
    sink.close(entry, 0, 1);
    // The file has been unlinked already, so a crash leaves nothing.
    expect(await readdir(directory.path)).toEqual([]);
    isUp = true;

    expect(await sink.finish(forever())).toEqual({ kind: "delivered" });
    expect(store.text === expected.join("")).toBe(true);
  });

  it("are discarded when the instance refuses them, and nothing waits for them", async () => {
    const sink = new ChunkSink(async () => {
      throw new InstanceError("gone", { code: "instance-refused", status: 404 });
    }, "/nonexistent/spool");
    const entry = sink.open(header);
    for (let i = 0; i < 300; i += 1) await sink.append(entry, "stdout", Buffer.alloc(64 * 1024));

    expect(await sink.finish(forever())).toEqual({ kind: "incomplete", problem: "gone" });
  });

  it("are discarded when the delivery timeout is over", async () => {
    const sink = new ChunkSink(async () => {
      throw unavailable();
    }, "/nonexistent/spool");
    sink.open(header);

    const delivery = await sink.finish(AbortSignal.timeout(100));

    expect(delivery.kind).toBe("incomplete");
  });
});

describe("a log batch that conflicts with the stored log", () => {
  const chunk = (offset: number, text: string): OutgoingLogEvent => ({
    kind: "chunk",
    entryId: 1,
    offset,
    stream: "stdout",
    bytes: Buffer.from(text),
  });
  const conflict = (expectedOffset: number) =>
    new InstanceError("conflict", {
      code: "instance-refused",
      status: 409,
      body: JSON.stringify({ error: "x", entryId: 1, expectedOffset }),
    });

  it("continues where the log ends, if only the answer was lost", () => {
    expect(remainderAfterConflict([chunk(0, "abcd"), chunk(4, "efgh")], conflict(6))).toEqual([chunk(6, "gh")]);
    expect(remainderAfterConflict([chunk(0, "abcd")], conflict(4))).toEqual([]);
  });

  it("is discarded if bytes before it are missing", () => {
    expect(remainderAfterConflict([chunk(4, "efgh")], conflict(2))).toBeUndefined();
    expect(remainderAfterConflict([chunk(4, "efgh")], new Error("other"))).toBeUndefined();
  });
});
