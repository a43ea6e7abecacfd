import { describe, expect, it } from "vitest";
import { connectionLimits, connectionTimeouts } from "./connection-limits.ts";

const sizes = [8192, 32_768, 65_536, 262_144, 1_048_576];

describe("the limits of one sandbox's connections", () => {
  it.each(sizes)("never exceed its share of a table of %i entries, with timeouts or without", (size) => {
    for (const hasTimeouts of [true, false]) {
      const closedSeconds = hasTimeouts ? connectionTimeouts.tcp.time_wait : 120;
      const { connections } = connectionLimits({ size, closedSeconds: 120 }, { hasTimeouts });
      const most = connections.open + connections.burst + connections.perSecond * closedSeconds;
      expect(most).toBeLessThanOrEqual(Math.min(Math.max(size / 32, 512), 8192));
      expect(connections.perSecond).toBeGreaterThan(0);
    }
  });

  it("allow a higher rate if the kernel forgets closed connections sooner", () => {
    const perSecond = (hasTimeouts: boolean) =>
      connectionLimits({ size: 262_144, closedSeconds: 120 }, { hasTimeouts }).connections.perSecond;
    expect([perSecond(true), perSecond(false)]).toEqual([204, 17]);
  });
});
