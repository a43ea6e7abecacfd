import { describe, expect, it } from "vitest";
import type { CompiledPolicy } from "../policy/compile-policy.ts";
import type { Pin } from "./pin-ruleset.ts";
import { Pins } from "./pins.ts";
import type { SandboxRules } from "./sandbox-ruleset.ts";

const slot = 3;
const policy: CompiledPolicy = { kind: "allow", privateRanges: [], publicRanges: [], names: [] };
const rules = {
  slot,
  interfaceName: "ak0",
  gateway: "198.18.0.1",
  subnet: { family: 4, first: 0n, last: 7n, bits: 29 },
  ipv6Subnet: null,
  policy,
} as const satisfies SandboxRules;
const addresses = (count: number, ttl = 300, from = 0) =>
  Array.from({ length: count }, (_, index) => {
    const number = from + index;
    return { family: 4, address: `45.45.${number >> 8}.${number & 255}`, ttl } as const;
  });

/** Pins with a table that only records what is written. */
function pinsWith({ failing = false } = {}) {
  const sandboxes = new Map<number, SandboxRules>([[slot, rules]]);
  const written: (readonly Pin[])[] = [];
  const full: number[] = [];
  const state = { nowMs: 0, failing };
  const pins = new Pins({
    table: {
      sandboxes,
      pin: async (_, waiting) => {
        const batch = waiting();
        await Promise.resolve();
        if (state.failing) throw new Error("no");
        written.push(batch);
      },
    },
    closed: () => [],
    onFull: (which) => full.push(which),
    now: () => state.nowMs,
  });
  return { pins, sandboxes, written, full, state };
}

describe("addresses opened by name look-ups", () => {
  it("are written once for repeated look-ups, and again before they expire", async () => {
    const { pins, written, state } = pinsWith();
    const request = { slot, addresses: addresses(1, 300), ports: [443] };
    for (let time = 0; time < 5; time += 1) await pins.open(request);
    expect(written).toEqual([[{ slot, family: 4, address: "45.45.0.0", port: 443, seconds: 660 }]]);
    state.nowMs = 349_000;
    await pins.open(request);
    expect(written).toHaveLength(1);
    state.nowMs = 351_000;
    await pins.open(request);
    expect(written).toHaveLength(2);
  });

  it("stay open for a minute longer than the DNS record, at most for an hour and a minute", async () => {
    const { pins, written } = pinsWith();
    for (const [index, ttl] of [0, 60, 61, 600, 601, 3600].entries()) {
      await pins.open({ slot, addresses: addresses(1, ttl, index), ports: null });
    }
    expect(written.flat().map(({ seconds }) => seconds)).toEqual([120, 120, 660, 660, 3660, 3660]);
  });

  it("are written in few transactions, however many look-ups end at the same time", async () => {
    const { pins, written } = pinsWith();
    const look = (from: number) => pins.open({ slot, addresses: addresses(4, 0, from), ports: [80, 443] });
    await Promise.all(Array.from({ length: 50 }, (_, index) => look(index * 4)));
    expect(written.length).toBeLessThanOrEqual(2);
    expect(written.flat()).toHaveLength(400);
  });

  it("are limited per look-up, and the first address is always opened", async () => {
    const { pins, written } = pinsWith();
    const ports = Array.from({ length: 200 }, (_, port) => port + 1);
    expect(await pins.open({ slot, addresses: addresses(32), ports })).toEqual({
      addresses: addresses(5).map(({ address }) => address),
      isFull: false,
    });
    expect(written.flat()).toHaveLength(1000);
  });

  it("are limited per sandbox until earlier ones expire, and the operator is told once", async () => {
    const { pins, written, full, state } = pinsWith();
    for (let from = 0; from < 5000; from += 50)
      await pins.open({ slot, addresses: addresses(50, 0, from), ports: null });
    expect(written.flat()).toHaveLength(4096);
    expect(full).toEqual([slot]);
    expect(await pins.open({ slot, addresses: addresses(1, 0, 6000), ports: null })).toEqual({
      addresses: [],
      isFull: true,
    });
    expect((await pins.open({ slot, addresses: addresses(1, 0, 7), ports: null })).addresses).toHaveLength(1);
    state.nowMs = 121_000;
    expect((await pins.open({ slot, addresses: addresses(1, 0, 6000), ports: null })).addresses).toHaveLength(1);
    expect(full).toEqual([slot]);
  });

  it("are opened again after the rules were rewritten", async () => {
    const { pins, written, sandboxes } = pinsWith();
    const request = { slot, addresses: addresses(1), ports: null };
    await pins.open(request);
    sandboxes.set(slot, { ...rules });
    await pins.open(request);
    expect(written).toHaveLength(2);
  });

  it("are retried by the next look-up after writing them failed", async () => {
    const { pins, written, state } = pinsWith({ failing: true });
    const request = { slot, addresses: addresses(2), ports: null };
    await expect(pins.open(request)).rejects.toThrow("no");
    state.failing = false;
    expect((await pins.open(request)).addresses).toHaveLength(2);
    expect(written.flat()).toHaveLength(2);
  });

  it("never include a closed address", async () => {
    const { pins, written } = pinsWith();
    const request = { slot, addresses: [{ family: 4, address: "10.0.0.1", ttl: 60 } as const], ports: null };
    expect(await pins.open(request)).toEqual({ addresses: [], isFull: false });
    expect(written).toEqual([]);
  });
});
