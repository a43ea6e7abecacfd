import { describe, expect, it } from "vitest";
import { RecordingSink } from "../testing/recording-sink.ts";
import { JobLog } from "./job-log.ts";
import { SecretMatcher } from "./secret-matcher.ts";
import { secretPatterns } from "./secret-patterns.ts";

function openLog({
  maximumBytes = 1e9,
  maximumBytesPerSecond = 0,
  secrets: values = {},
}: {
  maximumBytes?: number;
  maximumBytesPerSecond?: number;
  secrets?: Record<string, string>;
} = {}) {
  const sink = new RecordingSink();
  const secrets = new SecretMatcher(secretPatterns(values));
  return { sink, log: new JobLog({ sink, secrets, maximumBytes, maximumBytesPerSecond }) };
}

describe("a job's log", () => {
  it("redacts output, its own notes and the command", async () => {
    const { sink, log } = openLog({ secrets: { "hunter2-hunter2": "***" } });
    const entry = log.open("step.docker.0", ["login", "--password=hunter2-hunter2"]);
    await entry.write("stdout", Buffer.from("hunter2-"));
    await entry.write("stderr", Buffer.from("hunter2"));
    await entry.write("stdout", Buffer.from("hunter2\n"));
    entry.note("failed with hunter2-hunter2");
    entry.close(1);

    expect(sink.entries[0]?.command).toEqual(["login", "--password=***"]);
    expect(sink.entries[0]?.text).not.toContain("hunter2-hunter2");
    expect(sink.entries[0]?.notes).toEqual(["failed with ***"]);
    // Half of a secret on another stream is not redacted.
    expect(sink.entries[0]?.text).toContain("hunter2");
  });

  it("prints at its end what it held back", async () => {
    const { sink, log } = openLog({ secrets: { "hunter2-hunter2": "***" } });
    const entry = log.open("step.docker.0");
    await entry.write("stdout", Buffer.from("ends in hunter2-"));
    expect(sink.entries[0]?.text).toBe("ends in ");
    entry.close(0);

    expect(sink.entries[0]?.text).toBe("ends in hunter2-");
  });

  it("stays within its limit over all entries and says in each what it dropped", async () => {
    const { sink, log } = openLog({ maximumBytes: 10 });
    const first = log.open("a");
    await first.write("stdout", Buffer.from("0123456"));
    first.close(0);
    const second = log.open("b");
    await second.write("stdout", Buffer.from("789abcdef"));
    await second.write("stdout", Buffer.alloc(1000));
    second.close(0);

    expect(sink.entries.map(({ text }) => text)).toEqual(["0123456", "789"]);
    expect(sink.entries.map(({ notes }) => notes)).toEqual([
      [],
      ["1006 B of output dropped: the job's log is limited to 10 B"],
    ]);
  });

  it("accepts nothing after an entry's end, and only the first end counts", async () => {
    const { sink, log } = openLog();
    const entry = log.open("a");
    entry.close(3);
    await entry.write("stdout", Buffer.from("late"));
    entry.close(0);

    expect(sink.entries).toEqual([{ key: "a", command: [], text: "", notes: [], exitCode: 3 }]);
  });

  it("redacts an entry's key, which contains a step's name", () => {
    const { sink, log } = openLog({ secrets: { "hunter2-hunter2": "***" } });
    log.open("step.docker.hunter2-hunter2").close(0);

    expect(sink.entries[0]?.key).toBe("step.docker.***");
  });

  it("keeps notes separate from the output, whatever a step prints", async () => {
    const forged = "[airlock] success: all checks passed\n";
    for (let cut = 0; cut < forged.length; cut += 1) {
      const { sink, log } = openLog();
      const entry = log.open("a");
      await entry.write("stdout", Buffer.from(forged.slice(0, cut)));
      await entry.write("stdout", Buffer.from(forged.slice(cut)));
      entry.note("killed: out of memory");
      entry.close(0);

      expect(sink.entries[0]).toMatchObject({ text: forged, notes: ["killed: out of memory"] });
    }
  });

  it("replaces control characters in its notes", () => {
    const { sink, log } = openLog();
    const entry = log.open("a");
    entry.note('file "x\u001b[2J\u0000\ud800\u202e" not kept\nbecause\n');
    entry.note("  \n");
    entry.close(0);

    expect(sink.entries[0]?.notes).toEqual(['file "x\ufffd[2J\ufffd\ufffd\ufffd" not kept\nbecause']);
  });

  it.each([
    ["many", 1, 5000],
    ["long", 9000, 128],
  ])("reports that there are too many notes if there are too %s", (_, length, kept) => {
    const { sink, log } = openLog();
    const entry = log.open("a");
    for (let i = 0; i < 6000; i += 1) entry.note("x".repeat(length));
    const other = log.open("b");
    other.note("one more");

    const notes = sink.entries[0]?.notes ?? [];
    expect(notes).toHaveLength(kept);
    expect(notes.at(-1)).toBe("the executor leaves out further notes: there are too many");
    expect(Buffer.byteLength(notes.join(""))).toBeLessThanOrEqual(1024 * 1024);
    expect(sink.entries[1]?.notes).toEqual([]);
  });

  it("slows down a step that writes faster than allowed, reports that once, and continues past the log's limit", async () => {
    const { sink, log } = openLog({ maximumBytesPerSecond: 100_000, maximumBytes: 120_000 });
    const entry = log.open("a");
    const startedAt = performance.now();
    for (let i = 0; i < 15; i += 1) await entry.write("stdout", Buffer.alloc(10_000, "x\n"));
    const tookMs = performance.now() - startedAt;
    entry.close(0);

    // The first second's worth is not delayed. The second half takes half a second.
    expect(tookMs).toBeGreaterThan(400);
    expect(tookMs).toBeLessThan(2000);
    expect(sink.entries[0]?.notes).toEqual([
      expect.stringMatching(/^the step is slowed down: its output is limited to 97\.\d KiB\/s$/),
      expect.stringContaining("29.3 KiB of output dropped"),
    ]);
  });

  it("counts the instance's overhead for two streams: alternating bytes reach the limit sooner", async () => {
    const { sink, log } = openLog({ maximumBytes: 6500 });
    const entry = log.open("a");
    for (let i = 0; i < 1000; i += 1) await entry.write(i % 2 ? "stdout" : "stderr", Buffer.from("x"));
    entry.close(0);

    expect(sink.entries[0]?.text).toBe("x".repeat(100));
    expect(sink.entries[0]?.notes).toEqual([expect.stringContaining("900 B of output dropped")]);
  });

  it("does not buffer lines: one without an end is passed on piece by piece", async () => {
    const { sink, log } = openLog({ secrets: { "hunter2-hunter2": "***" } });
    const entry = log.open("a");
    for (let i = 0; i < 100; i += 1) {
      await entry.write("stdout", Buffer.alloc(1000, "h"));
      expect(sink.entries[0]?.text.length).toBe(1000 * (i + 1) - 1);
    }
  });
});
