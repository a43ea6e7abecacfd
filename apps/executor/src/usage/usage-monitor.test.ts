import type { StepUsage } from "@airlock/api";
import type { Sandbox, SandboxUsage } from "@airlock/runtime";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { InstanceError } from "../instance-client/instance-error.ts";
import { UsageMonitor } from "./usage-monitor.ts";

const limits = { cpus: 2, memoryBytes: 2 ** 30, pids: 100 };
const logger = pino({ enabled: false });

function monitorOf(usage: () => Promise<SandboxUsage>, send: (usage: StepUsage) => Promise<void>): UsageMonitor {
  const sandbox = { usage } as unknown as Sandbox;
  return new UsageMonitor({ sandbox, limits, send, logger, readEveryMs: 20, sendEveryMs: 100 });
}

describe("UsageMonitor", () => {
  it("reports a step while it runs, and its last state at the end", async () => {
    const sent: StepUsage[] = [];
    const monitor = monitorOf(
      async () => ({ cpuMs: performance.now(), memoryBytes: 5 }),
      async (usage) => void sent.push(usage),
    );
    const step = monitor.during(3);
    await expect.poll(() => sent.length, { timeout: 10_000 }).toBeGreaterThan(0);
    const early = sent.length;
    await step[Symbol.asyncDispose]();
    await monitor[Symbol.asyncDispose]();
    expect(sent.length).toBeGreaterThan(early);
    const last = sent.at(-1);
    expect(last).toMatchObject({
      step: 3,
      limits: { cpus: 2, memoryBytes: 2 ** 30, diskBytes: null },
      diskBytes: null,
    });
    expect(last?.durationMs).toBeGreaterThanOrEqual(sent[0]?.durationMs ?? Number.NaN);
    expect(last?.cpuMs?.length).toBe(last?.memoryBytes?.length);
  });

  it("stops asking an instance that refuses the reports, and repeats those of one that is away", async () => {
    const attempts = { refused: 0, away: 0 };
    const error = (status: number) => new InstanceError("no", { code: "instance-unauthorized", status });
    const refusing = monitorOf(
      async () => ({ cpuMs: 1 }),
      async () => {
        attempts.refused += 1;
        throw error(404);
      },
    );
    const away = monitorOf(
      async () => ({ cpuMs: 1 }),
      async () => {
        attempts.away += 1;
        if (attempts.away === 1) throw error(503);
      },
    );
    const steps = [refusing.during(0), away.during(0)];
    await expect.poll(() => attempts.away, { timeout: 10_000 }).toBeGreaterThan(1);
    for (const step of steps) await step[Symbol.asyncDispose]();
    await refusing[Symbol.asyncDispose]();
    await away[Symbol.asyncDispose]();
    expect(attempts.refused).toBe(1);
  });

  it("does not hold up a job while the instance is away", async () => {
    let attempts = 0;
    const away = new InstanceError("no answer", { code: "instance-unreachable", status: null });
    const monitor = monitorOf(
      async () => ({ cpuMs: 1 }),
      async () => {
        attempts += 1;
        throw away;
      },
    );
    const step = monitor.during(0);
    await expect.poll(() => attempts, { timeout: 10_000 }).toBeGreaterThan(0);
    await step[Symbol.asyncDispose]();
    const before = attempts;
    await monitor[Symbol.asyncDispose]();
    expect(attempts - before).toBeLessThanOrEqual(2);
  });

  it("does not fail a step whose sandbox can't be read", async () => {
    const monitor = monitorOf(
      () => Promise.reject(new Error("the guest does not answer")),
      () => Promise.reject(new Error("nothing to send")),
    );
    await monitor.during(0)[Symbol.asyncDispose]();
    await monitor[Symbol.asyncDispose]();
  });
});
