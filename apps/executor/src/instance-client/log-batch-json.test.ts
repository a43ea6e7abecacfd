import { LogBatchRequest } from "@airlock/api";
import fc from "fast-check";
import { expect, it } from "vitest";
import { logBatchJson, type OutgoingLogEvent } from "./log-batch-json.ts";

it("a log batch is the same JSON that JSON.stringify would make, whatever keys and commands contain", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.uint8Array({ minLength: 1, maxLength: 50 }), (text, bytes) => {
      const head = { executorName: `é-${text}`, jobId: 7, attempt: 2 };
      const chunk = { kind: "chunk", entryId: 1, offset: 0, stream: "stdout" } as const;
      const others: OutgoingLogEvent[] = [
        { kind: "open", entryId: 1, key: `k${text}`, command: ["/bin/sh", text], startTime: new Date(0).toISOString() },
        { kind: "close", entryId: 1, exitCode: -1, durationMs: 3 },
      ];

      const events = [...others, { ...chunk, bytes: Buffer.from(bytes) }, ...others];
      const data = Buffer.from(bytes).toString("base64");

      expect(JSON.parse(logBatchJson(head, events).toString())).toEqual({
        ...head,
        events: [...others, { ...chunk, data }, ...others],
      });
    }),
  );
});

it("a log batch matches the schema of the instance's API", () => {
  const chunk = { kind: "chunk", entryId: 1, offset: 0, stream: "stderr" } as const;
  // Longer than one piece of the encoder.
  const bytes = Buffer.from(Array.from({ length: 60_001 }, (_, index) => (index * 31) % 256));
  const json = logBatchJson({ executorName: "executor", jobId: 7, attempt: 2 }, [{ ...chunk, bytes }]).toString();

  expect(LogBatchRequest.parse(JSON.parse(json)).events).toEqual([{ ...chunk, data: bytes.toString("base64") }]);
});
