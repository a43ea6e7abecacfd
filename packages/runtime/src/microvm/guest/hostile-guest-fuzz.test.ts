import { Duplex } from "node:stream";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { pause } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { encodeFrame, FrameDecoder, type FrameType, frameTypes, helloPayload } from "./frames.ts";
import { GuestAgent, methods } from "./guest-agent.ts";
import { GuestCallError } from "./guest-call-error.ts";
import { PayloadWriter } from "./payload-writer.ts";
import { runGuestStep } from "./run-guest-step.ts";
import { answeringGuest } from "./testing/answering-guest.ts";
import { exampleStep as step } from "./testing/example-step.ts";

const signal = new AbortController().signal;
const types = Object.keys(frameTypes) as FrameType[];
const seed = Buffer.alloc(32);
const on = (type: FrameType, channel: number) => (payload: Buffer) => encodeFrame({ type, channel, payload });
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const anyPayload = fc.oneof(bytes(40), fc.constant(Buffer.alloc(0)), fc.constant(Buffer.of(0, 0, 0, 0, 65)));

/** Entries of a directory, some of them impossible. */
const entry = fc
  .tuple(fc.integer({ min: 0, max: 4 }), fc.nat(0o10000), bytes(12))
  .map(([kind, mode, name]) =>
    Buffer.concat([
      new PayloadWriter()
        .uint8(kind)
        .uint16(mode)
        .uint64(9)
        .int64(-9)
        .uint64(1)
        .uint8(name.length)
        .bytes(name)
        .toBuffer(),
    ]),
  );
const data = (content: fc.Arbitrary<Buffer>) => content.map((piece) => Buffer.concat([Buffer.of(0), piece]));

/** Frames as a guest may send them: most of them fit the calls that wait, others are any bytes. */
const frame = fc.oneof(
  {
    weight: 30,
    arbitrary: data(fc.array(entry, { minLength: 1, maxLength: 2 }).map((entries) => Buffer.concat(entries))).map(
      on("data", 3),
    ),
  },
  {
    weight: 30,
    arbitrary: data(fc.uint8Array({ minLength: 1, maxLength: 9 }).map((piece) => Buffer.from(piece))).map(
      on("data", 4),
    ),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.integer({ min: 3, max: 7 }), anyPayload)
      .map(([channel, payload]) => on("error", channel)(payload)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...types), fc.integer({ min: 0, max: 8 }), anyPayload)
      .map(([type, channel, payload]) => on(type, channel)(payload)),
  },
  { weight: 1, arbitrary: bytes(64) },
);
const messages = fc.array(frame, { minLength: 5, maxLength: 40 });

async function outcome(promise: Promise<unknown>): Promise<void> {
  await promise.then(
    () => {},
    (error: unknown) => {
      if (!(error instanceof AirlockError) && !(error instanceof GuestCallError)) throw error;
    },
  );
}

async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.catch((error: unknown) => error);
}

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

describe("a hostile guest", () => {
  it("neither crashes the host nor makes it keep bytes, with 10,000 messages", async () => {
    let taken = 0;
    let longest = 0;
    const heapBefore = heapBytes();
    await fc.assert(
      fc.asyncProperty(messages, async (frames) => {
        const { host, guest } = answeringGuest();
        const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
        const calls = [
          agent.list(Buffer.alloc(0), { entries: 10, bytes: 1e6 }, signal),
          agent.readFile(Buffer.from("x"), { signal, maximumBytes: 100 }),
          agent.stats(signal),
          agent.readLink(Buffer.from("x"), signal),
          agent.removeFile(Buffer.from("x"), signal),
        ].map(outcome);
        for (const piece of frames) {
          if (host.destroyed) break;
          taken += 1;
          guest.write(piece);
          await setImmediate();
          longest = Math.max(longest, agent.connection.held.bytes);
        }
        agent[Symbol.dispose]();
        await Promise.all(calls);
        expect(agent.connection.held.calls).toBe(0);
      }),
      fuzzParameters("messages of a guest", 4000),
    );
    expect(taken).toBeGreaterThan(10_000);
    expect(longest).toBeLessThan(16_384);
    expect(heapBytes() - heapBefore).toBeLessThan(16 * 2 ** 20);
  });

  it("can't make the decoder keep more than a frame", () => {
    fc.assert(
      fc.property(fc.array(bytes(3000), { maxLength: 20 }), (pieces) => {
        const decoder = new FrameDecoder();
        try {
          for (const piece of pieces)
            for (const { payload: body } of decoder.push(piece)) expect(body.length).toBeLessThan(16_384);
        } catch (error) {
          expect(error).toBeInstanceOf(AirlockError);
        }
        expect(decoder.waitingBytes).toBeLessThan(16_384);
      }),
      fuzzParameters("frames of a guest", 500),
    );
  });

  it("gets no more than its credit taken, however small its frames are", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const listing = agent.connection.call(Buffer.of(11, 0, 0), {
      signal,
      stallMs: 10_000,
      streams: 1,
      onData: () => new Promise<void>(() => {}),
    });
    const tiny = encodeFrame({ type: "data", channel: 3, payload: Buffer.of(0, 1) });
    for (let i = 0; i < 1009; i++) guest.write(tiny);
    await expect(listing).rejects.toThrow("more data than it was granted");
  });

  it.each([
    ["an exit code above 255", "exited", Buffer.of(0, 0, 0, 1, 0, 0, 0, 0, 0, 0)],
    ["signal 0", "exited", Buffer.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["an unknown kind of exit", "exited", Buffer.of(2, 0, 0, 0, 1, 0, 0, 0, 0, 0)],
    ["an exit state that is cut off", "exited", Buffer.of(0, 0, 0)],
    ["the end of a step without its exit state", "result", Buffer.alloc(16)],
    ["the end of a step without its counters", "result", Buffer.alloc(15)],
    ["the end of a step with an impossible counter", "result", Buffer.alloc(16, 0xff)],
    ["data on a third stream", "data", Buffer.of(2, 65)],
    ["data without bytes", "data", Buffer.of(0)],
    ["the end of a stream", "end", Buffer.of(0)],
    ["a grant beyond the maximum", "credit", Buffer.of(0, 0, 0x10, 0, 0)],
    ["an error with an unknown code", "error", Buffer.of(77, 0, 0, 0, 0)],
    ["an error with the code after the last", "error", Buffer.of(13, 0, 0, 0, 0)],
    ["an error without a code", "error", Buffer.of(0, 0, 0, 0, 0)],
    ["an error whose text is too long", "error", Buffer.alloc(5 + 257, 11)],
  ] as const)("fails its step when it sends %s", async (_what, type, payload) => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const running = runGuestStep(agent, step, { signal, output: () => {} });
    await setImmediate();
    guest.write(encodeFrame({ type, channel: 3, payload }));
    await expect(running).rejects.toMatchObject({ reason: "runtime" });
  });

  it.each([
    [10, "system"],
    [11, "not-executable"],
    [12, "out-of-memory"],
  ])("can claim with code %i why its step did not start, in printable words", async (number, code) => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const running = runGuestStep(agent, step, { signal, output: () => {} });
    await setImmediate();
    const payload = Buffer.concat([Buffer.of(number, 0, 0, 0, 8), Buffer.from("ex\u001b[31mecve\n")]);
    guest.write(encodeFrame({ type: "error", channel: 3, payload }));
    const message = "the guest agent answered: ex?[31mecve? (error 8)";
    await expect(running).rejects.toMatchObject({ name: "GuestCallError", code, errno: 8, message });
  });

  it("reports which limits its step has struck", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const limited = { ...step, memoryBytes: 2 ** 20, pids: 9, cpuMicros: 50_000 };
    const running = runGuestStep(agent, limited, { signal, output: () => {} });
    await setImmediate();
    guest.write(encodeFrame({ type: "exited", channel: 3, payload: Buffer.alloc(10) }));
    const counters = new PayloadWriter().uint32(1).uint32(2).uint64(3_000_000).toBuffer();
    guest.write(encodeFrame({ type: "result", channel: 3, payload: counters }));
    expect((await running).notes).toEqual([
      "a process of the step was killed: the job used more memory than its 1 MiB",
      "the step was refused new processes: the job's limit is 9 at a time (resources.pids)",
      "the step waited 3.0 s for the processor: the job's limit is 0.5 cores (resources.cpus)",
    ]);
  });

  it("fails its step when it refuses to say which processes are left", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const running = runGuestStep(agent, step, { signal, output: () => {} });
    await setImmediate();
    const left = Buffer.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    guest.write(encodeFrame({ type: "exited", channel: 3, payload: left }));
    await setImmediate();
    // The host counts the processes with its next call, and cancels the step when that fails.
    guest.write(encodeFrame({ type: "error", channel: 4, payload: Buffer.of(10, 0, 0, 0, 0) }));
    guest.write(encodeFrame({ type: "error", channel: 3, payload: Buffer.of(9, 0, 0, 0, 0) }));
    await expect(running).rejects.toBeInstanceOf(GuestCallError);
  });

  it("loses its connection when a result is malformed", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const asked = agent.stats(signal);
    await setImmediate();
    guest.write(encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(41) }));
    await expect(asked).rejects.toThrow("a result has bytes at its end");
    expect(host.destroyed).toBe(true);
  });

  it("can't report two exit states for one step", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const running = runGuestStep(agent, step, { signal, output: () => {} });
    await setImmediate();
    const exited = encodeFrame({ type: "exited", channel: 3, payload: Buffer.alloc(10) });
    guest.write(Buffer.concat([exited, exited]));
    await expect(running).rejects.toThrow("an impossible exit state");
  });

  it.each([
    ["a call that is not a step", 3],
    ["a call that nobody made", 4],
  ])("loses its connection when it reports the end of a step on %s", async (_what, channel) => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const asked = agent.stats(signal);
    await setImmediate();
    guest.write(encodeFrame({ type: "exited", channel, payload: Buffer.alloc(10) }));
    await expect(asked).rejects.toMatchObject({ reason: "runtime", message: expect.stringContaining("broke") });
    expect(host.destroyed).toBe(true);
  });

  it("can't end a step a second time after its result", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const running = runGuestStep(agent, step, { signal, output: () => {} });
    await setImmediate();
    const exited = encodeFrame({ type: "exited", channel: 3, payload: Buffer.alloc(10) });
    const result = encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(16) });
    guest.write(Buffer.concat([exited, result]));
    expect(await running).toEqual({ kind: "exited", exitCode: 0 });
    guest.write(Buffer.concat([exited, result]));
    await setImmediate();
    expect(host.destroyed).toBe(true);
    await expect(agent.stats(signal)).rejects.toThrow("on which no call waits");
  });

  it("is given up when it stops in the middle of a message", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0), stallMs: 50 });
    const asked = agent.stats(signal);
    await setImmediate();
    const whole = encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(40) });
    guest.write(whole.subarray(0, 20));
    await expect(asked).rejects.toMatchObject({ reason: "runtime", message: expect.stringContaining("silent") });
    expect([host.destroyed, agent.connection.held.bytes]).toEqual([true, 0]);
  });

  it("is not listened to when it answers after it was given up", async () => {
    const { host } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0), stallMs: 50 });
    await expect(agent.stats(signal)).rejects.toThrow("silent");
    // The guest's end of a destroyed pair can't be written to. A real one can have bytes on their way.
    host.emit("data", encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(40) }));
    host.emit("data", Buffer.alloc(20_000, 0xff));
    expect(agent.connection.held).toMatchObject({ calls: 0, bytes: 0 });
    await expect(agent.stats(signal)).rejects.toThrow("silent");
  });

  it("does not turn a canceled call into a success by a late answer", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const cancel = new AbortController();
    const asked = agent.stats(cancel.signal);
    await setImmediate();
    cancel.abort(new Error("the job was canceled"));
    guest.write(encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(40) }));
    await expect(asked).rejects.toThrow("the job was canceled");
    const next = agent.stats(signal);
    await setImmediate();
    guest.write(encodeFrame({ type: "result", channel: 4, payload: Buffer.alloc(40) }));
    expect(await next).toMatchObject({ processes: 0 });
  });

  it("can't hold up the end of a call by not reading what it is granted", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const cancel = new AbortController();
    const reading = agent.readFile(Buffer.from("x"), { signal: cancel.signal, maximumBytes: 2 ** 20 });
    await setImmediate();
    guest.pause();
    const tiny = encodeFrame({ type: "data", channel: 3, payload: Buffer.of(0, 1) });
    const send = async (frames: number) => {
      for (let sent = 0; sent < frames; sent += 1) guest.write(tiny);
      await setImmediate();
    };
    while (!host.writableNeedDrain) await send(100);
    for (let round = 0; round < 5; round += 1) await send(100);
    guest.write(encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(0) }));
    await setImmediate();
    cancel.abort(new Error("the job was canceled"));
    await expect(Promise.race([reading, pause(3000, signal)])).resolves.toBeInstanceOf(Buffer);
  });

  it("can't make the host keep much more than the bytes of a file by sending them one at a time", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    const heapBefore = heapBytes();
    const reading = agent.readFile(Buffer.from("x"), { signal, maximumBytes: 200_000 });
    await setImmediate();
    const tiny = Buffer.concat(Array(500).fill(encodeFrame({ type: "data", channel: 3, payload: Buffer.of(0, 1) })));
    for (let sent = 0; sent < 200_000; sent += 500) {
      guest.write(tiny);
      await setImmediate();
    }
    expect(heapBytes() - heapBefore).toBeLessThan(4 * 2 ** 20);
    guest.write(encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(0) }));
    expect(await reading).toEqual(Buffer.alloc(200_000, 1));
  });

  it("may take its time to remove what a step wrote, once its processes have ended", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    try {
      const running = outcomeOf(runGuestStep(agent, step, { signal, output: () => {} }));
      await setImmediate();
      const decoder = new FrameDecoder();
      let left = 1;
      guest.on("data", (received: Buffer) => {
        for (const { type, channel, payload } of decoder.push(received)) {
          if (type !== "call") continue;
          if (payload[0] === methods.signal) left = 0;
          guest.write(encodeFrame({ type: "result", channel, payload: Buffer.of(0, 0, 0, left) }));
        }
      });
      const exited = Buffer.of(0, 0, 0, 0, 7, 0, 0, 0, 0, 1);
      guest.write(encodeFrame({ type: "exited", channel: 3, payload: exited }));
      for (let second = 0; second < 90 && !host.destroyed; second += 1) {
        await vi.advanceTimersByTimeAsync(1000);
        await delay(10);
      }
      expect(left).toBe(0);
      guest.write(encodeFrame({ type: "result", channel: 3, payload: Buffer.alloc(16) }));
      expect(await running).toMatchObject({ kind: "exited", exitCode: 7 });
    } finally {
      vi.useRealTimers();
    }
  });

  it("can't keep a canceled step by printing now and then", async () => {
    const { host, guest } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0) });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    try {
      const cancel = new AbortController();
      const running = outcomeOf(runGuestStep(agent, step, { signal: cancel.signal, output: () => {} }));
      await setImmediate();
      const decoder = new FrameDecoder();
      guest.on("data", (received: Buffer) => {
        for (const { type, channel } of decoder.push(received)) {
          // It claims that every signal reached the step.
          if (type === "call") guest.write(encodeFrame({ type: "result", channel, payload: Buffer.of(0, 0, 0, 1) }));
        }
      });
      cancel.abort(new Error("the job was canceled"));
      for (let second = 0; second < 120 && !host.destroyed; second += 1) {
        guest.write(encodeFrame({ type: "data", channel: 3, payload: Buffer.of(0, 65) }));
        await vi.advanceTimersByTimeAsync(1000);
        await setImmediate();
      }
      expect(host.destroyed).toBe(true);
      expect(await running).toMatchObject({ message: "the guest agent did not end a step that was killed" });
    } finally {
      vi.useRealTimers();
    }
  });

  it("is given up when it is silent", async () => {
    const { host } = answeringGuest();
    const agent = await GuestAgent.connect(host, { signal, seed, time: new Date(0), stallMs: 50 });
    await expect(agent.stats(signal)).rejects.toMatchObject({ reason: "runtime" });
  });

  it("is given up when it does not read what it asked for", async () => {
    const stuck = new Duplex({ read() {}, write() {}, highWaterMark: 10 });
    stuck.push(encodeFrame({ type: "hello", channel: 0, payload: helloPayload }));
    const connecting = GuestAgent.connect(stuck, {
      signal: AbortSignal.timeout(100),
      seed,
      time: new Date(0),
      stallMs: 50,
    });
    await expect(connecting).rejects.toThrow();
    expect(stuck.destroyed).toBe(true);
  });
});
