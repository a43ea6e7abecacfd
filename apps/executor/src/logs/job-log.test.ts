import { describe, expect, it } from "vitest";
import { RecordingSink } from "../testing/recording-sink.ts";
import { JobLog } from "./job-log.ts";
import { SecretMatcher } from "./secret-matcher.ts";
import { secretPatterns } from "./secret-patterns.ts";

function openLog(options: { maximumBytes?: number; secrets?: Record<string, string> } = {}) {
  const sink = new RecordingSink();
  const secrets = new SecretMatcher(secretPatterns(options.secrets ?? {}));
  return { sink, log: new JobLog({ sink, secrets, maximumBytes: options.maximumBytes ?? 1e9 }) };
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
    expect(sink.entries[0]?.text).toContain("***\n");
    // Half of a secret on another stream is no secret.
    expect(sink.entries[0]?.text).toContain("hunter2");
  });

  it("gives out at its end what was held back", async () => {
    const { sink, log } = openLog({ secrets: { "hunter2-hunter2": "***" } });
    const entry = log.open("step.docker.0");
    await entry.write("stdout", Buffer.from("ends in hunter2-"));
    expect(sink.entries[0]?.text).toBe("ends in ");
    entry.close(0);

    expect(sink.entries[0]?.text).toBe("ends in hunter2-");
  });

  it("keeps to its limit over all entries and says in each what it dropped", async () => {
    const { sink, log } = openLog({ maximumBytes: 10 });
    const first = log.open("a");
    await first.write("stdout", Buffer.from("0123456"));
    first.close(0);
    const second = log.open("b");
    await second.write("stdout", Buffer.from("789abcdef"));
    await second.write("stdout", Buffer.alloc(1000));
    second.close(0);

    expect(sink.entries.map(({ text }) => text)).toEqual([
      "0123456",
      "789\n[airlock] 1006 B of output dropped: the job's log is limited to 10 B\n",
    ]);
  });

  it("takes nothing after an entry's end, and the first end counts", async () => {
    const { sink, log } = openLog();
    const entry = log.open("a");
    entry.close(3);
    await entry.write("stdout", Buffer.from("late"));
    entry.close(0);

    expect(sink.entries).toEqual([{ key: "a", command: [], text: "", exitCode: 3 }]);
  });
});
