import { LogBatchRequest } from "@airlock/api";
import fc from "fast-check";
import { expect, it } from "vitest";
import { logBatchJson } from "./log-batch-json.ts";

it("is the same JSON that JSON.stringify would make, whatever stands in keys and commands", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.uint8Array({ minLength: 1, maxLength: 50 }), (text, bytes) => {
      const head = { executorName: `é-${text}`, jobId: 7, attempt: 2 };
      const events: LogBatchRequest["events"] = [
        { kind: "open", entryId: 1, key: `k${text}`, command: ["/bin/sh", text], startTime: new Date(0).toISOString() },
        { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: Buffer.from(bytes).toString("base64") },
        { kind: "close", entryId: 1, exitCode: -1, durationMs: 3 },
      ];

      expect(JSON.parse(logBatchJson(head, events).toString())).toEqual({ ...head, events });
    }),
  );
});

it("is accepted by the schema of the wire", () => {
  const events: LogBatchRequest["events"] = [
    { kind: "chunk", entryId: 1, offset: 0, stream: "stderr", data: Buffer.from("text").toString("base64") },
  ];
  const json = logBatchJson({ executorName: "executor", jobId: 7, attempt: 2 }, events).toString();

  expect(LogBatchRequest.parse(JSON.parse(json)).events).toEqual(events);
});
