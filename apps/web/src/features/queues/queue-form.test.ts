import type { QueueView } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { parseQueue, queueValues } from "./queue-form.ts";

const queue: QueueView = {
  name: "batches",
  queued: 0,
  processing: 0,
  oldestQueuedMs: null,
  maxAttempts: 5,
  maxLosses: 3,
  backoffMs: 5000,
  backoffMaxMs: 300_000,
  leaseMs: 15_500,
  heartbeatIntervalMs: 5000,
  concurrencyLimit: null,
  namespaceConcurrencyLimit: 4,
  weight: 2,
  maxLogBytes: 256 * 2 ** 20 + 1,
  allowUnenforced: true,
  maxWaitMs: 5_400_000,
};

describe("parseQueue", () => {
  it("reads back a queue's settings exactly, to the byte and the millisecond", () => {
    const { queued, processing, oldestQueuedMs, ...settings } = queue;
    expect(parseQueue(queueValues(queue))).toEqual({ kind: "request", request: settings });
  });

  it.each([0, 1, 250, 15_550, 90_000, 3_601_001, 90_061_000, 365 * 86_400_000])(
    "reads back a maximum wait or back-off of %d ms",
    (ms) => {
      const values = queueValues({ ...queue, maxWaitMs: ms, backoffMaxMs: Math.min(ms, 86_400_000) });
      const parsed = parseQueue(values);
      const [read, problems] =
        parsed.kind === "request" ? [parsed.request.maxWaitMs, []] : [null, [...parsed.problems.keys()]];
      expect([read, problems]).toEqual(ms < 1000 ? [null, ["maxWaitMs"]] : [ms, []]);
    },
  );

  it.each([
    [0, "0s"],
    [15_550, "15550ms"],
    [90_000, "1m30s"],
    [90_061_000, "1d1h1m1s"],
    [7 * 86_400_000, "7d"],
  ])("shows a duration of %d ms as people write it", (ms, text) => {
    expect(queueValues({ ...queue, backoffMs: ms }).backoffMs).toBe(text);
  });

  it("shows the defaults of a new queue in readable units", () => {
    expect(queueValues()).toMatchObject({ maxAttempts: "3", leaseMs: "15s", backoffMaxMs: "5m", maxLogBytes: "256Mi" });
  });

  it("reports every field that is wrong", () => {
    const parsed = parseQueue({
      ...queueValues(queue),
      name: "Not A Name",
      maxAttempts: "many",
      leaseMs: "15",
      weight: "0",
      concurrencyLimit: "-1",
      maxWaitMs: "366d",
    });
    expect(parsed.kind === "invalid" && [...parsed.problems.keys()].sort()).toEqual([
      "concurrencyLimit",
      "leaseMs",
      "maxAttempts",
      "maxWaitMs",
      "name",
      "weight",
    ]);
  });
});
