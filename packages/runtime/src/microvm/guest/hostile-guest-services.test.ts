import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { AirlockError } from "@airlock/job";
import { fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, type FrameType, serviceChannel, serviceCredit } from "./frames.ts";
import { GuestAgent } from "./guest-agent.ts";
import { PayloadWriter } from "./payload-writer.ts";
import { answeringGuest } from "./testing/answering-guest.ts";

const signal = new AbortController().signal;
const port = new PayloadWriter().uint16(4470).toBuffer();
const on = (type: FrameType, number: number, payload: Buffer) =>
  encodeFrame({ type, channel: serviceChannel + number, payload });
const open = (number: number) => on("open", number, port);
const empty = Buffer.alloc(0);

async function connect(serve: (connection: Duplex) => void) {
  const { host, guest } = answeringGuest();
  const agent = await GuestAgent.connect(host, { signal, seed: Buffer.alloc(32), time: new Date(0) });
  agent.connection.serve([{ port: 4470, serve }]);
  return { host, guest, agent };
}

describe("connections of a hostile guest to services", () => {
  it.each([
    ["opens a connection out of order", [open(2)]],
    ["uses a number twice", [open(1), on("reset", 1, empty), open(1)]],
    ["opens a port without a service", [on("open", 1, Buffer.of(0, 80))]],
    ["opens a connection with a malformed port", [on("open", 1, Buffer.of(1))]],
    ["opens more than 32 connections at once", Array.from({ length: 33 }, (_, index) => open(index + 1))],
    ["sends data on a connection that is not open", [on("data", 1, Buffer.of(0, 65))]],
    ["sends data on a connection that has ended", [open(1), on("reset", 1, empty), on("data", 1, Buffer.of(0, 65))]],
    ["grants credit to a connection that was never open", [open(1), on("credit", 2, Buffer.of(0, 0, 0, 0, 1))]],
    ["resets a connection that was never open", [open(1), on("reset", 2, empty)]],
    ["sends data on another stream", [open(1), on("data", 1, Buffer.of(1, 65))]],
    ["sends data without bytes", [open(1), on("data", 1, Buffer.of(0))]],
    ["sends data after its end", [open(1), on("end", 1, Buffer.of(0)), on("data", 1, Buffer.of(0, 65))]],
    ["ends twice", [open(1), on("end", 1, Buffer.of(0)), on("end", 1, Buffer.of(0))]],
    ["grants too much credit", [open(1), on("credit", 1, Buffer.of(0, 0, 0, 0, 1))]],
    ["resets with a payload", [open(1), on("reset", 1, Buffer.of(0))]],
    ["answers a call on a connection", [open(1), on("result", 1, empty)]],
    ["sends more than its credit", [open(1), ...Array(600).fill(on("data", 1, Buffer.of(0, 65)))]],
  ] as const)("lose the guest when it %s", async (_what, frames) => {
    const { host, guest, agent } = await connect(() => {});
    for (const frame of frames) if (!guest.destroyed) guest.write(frame);
    await setImmediate();
    await setImmediate();
    expect(host.destroyed).toBe(true);
    expect(agent.connection.held.connections).toBe(0);
    await expect(agent.stats(signal)).rejects.toMatchObject({ reason: "runtime" });
  });

  it("may be reset by an agent that has sent its end, and has not read the host's", async () => {
    const { host, guest, agent } = await connect((connection) => connection.resume().end());
    guest.write(Buffer.concat([open(1), on("end", 1, Buffer.of(0))]));
    await expect.poll(() => agent.connection.held.connections).toBe(0);
    guest.write(on("reset", 1, empty));
    guest.write(open(2));
    await expect.poll(() => agent.connection.held.connections).toBe(1);
    expect(host.destroyed).toBe(false);
    agent[Symbol.dispose]();
  });

  it("wait for credit when the guest never reads", async () => {
    let taken = 0;
    const { guest, agent } = await connect((connection) => {
      connection.write(Buffer.alloc(1 << 20));
    });
    guest.on("data", (bytes: Buffer) => {
      taken += bytes.length;
    });
    guest.write(open(1));
    for (let turn = 0; turn < 50; turn++) await setImmediate();
    expect(taken).toBeGreaterThan(serviceCredit / 2);
    expect(taken).toBeLessThan(serviceCredit + 1000);
    agent[Symbol.dispose]();
    expect(agent.connection.held.connections).toBe(0);
  });

  it("don't fill the host's memory when the guest opens and ends them forever and never reads", async () => {
    let opened = 0;
    const { host, guest } = await connect((connection) => void connection.destroy());
    guest.pause();
    while (!host.destroyed && opened < 50_000) {
      opened += 1;
      guest.write(Buffer.concat([open(opened), on("reset", opened, empty)]));
      if (opened % 16 === 0) await setImmediate();
    }
    expect(host.destroyed).toBe(true);
    expect(opened).toBeLessThan(45_000);
  });

  it("keep their place until the guest has confirmed their end", async () => {
    const served: Duplex[] = [];
    const { guest, agent } = await connect((connection) => void served.push(connection));
    guest.write(open(1));
    await setImmediate();
    served[0]?.destroy();
    // Data that the agent sent before it read the reset.
    guest.write(on("data", 1, Buffer.of(0, 65)));
    await setImmediate();
    expect(agent.connection.held.connections).toBe(1);
    guest.write(on("reset", 1, empty));
    await setImmediate();
    expect(agent.connection.held.connections).toBe(0);
    agent[Symbol.dispose]();
  });

  it("neither crash the host nor grow, with any frames", async () => {
    const payload = fc.constantFrom(empty, port, Buffer.of(0), Buffer.of(0, 65), Buffer.of(0, 0, 0, 0, 65));
    const type = fc.constantFrom<FrameType>("open", "open", "data", "data", "end", "credit", "reset", "result");
    const valid = fc.nat(3);
    const frames = fc.array(fc.tuple(type, fc.integer({ min: 1, max: 4 }), payload, valid), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(frames, fc.nat(3), async (pieces, behaviour) => {
        const served: Duplex[] = [];
        const { host, guest, agent } = await connect((connection) => {
          served.push(connection);
          if (behaviour === 1) connection.end("bye");
          if (behaviour === 2) connection.pipe(connection);
          if (behaviour === 3) connection.destroy();
        });
        let opened = 0;
        for (const [kind, number, content, choice] of pieces) {
          if (host.destroyed) break;
          // Most frames are sound, so that connections live for a while.
          if (choice > 0 && kind === "open") guest.write(open(++opened));
          else if (choice > 0 && kind === "data") guest.write(on("data", Math.max(opened, 1), Buffer.of(0, 65)));
          else guest.write(on(kind, number, content));
          await setImmediate();
          expect(agent.connection.held.connections).toBeLessThanOrEqual(32);
        }
        agent[Symbol.dispose]();
        await setImmediate();
        expect(agent.connection.held.connections).toBe(0);
        await agent.stats(signal).catch((error: unknown) => expect(error).toBeInstanceOf(AirlockError));
      }),
      fuzzParameters("connections of a guest", 1000),
    );
  });
});
