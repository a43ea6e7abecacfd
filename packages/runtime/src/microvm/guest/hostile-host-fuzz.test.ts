import { setImmediate } from "node:timers/promises";
import { fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeFrame, type FrameType, frameTypes, helloPayload, serviceChannel } from "./frames.ts";
import { methods } from "./guest-agent.ts";
import { PayloadWriter } from "./payload-writer.ts";
import { encodeStep } from "./step-spec.ts";
import { exampleStep as step } from "./testing/example-step.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const types = Object.keys(frameTypes) as FrameType[];
const on = (type: FrameType, channel: number) => (payload: Buffer) => encodeFrame({ type, channel, payload });
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const path = fc
  .constantFrom("", "a", "a/b", "a/../b", "/etc/passwd", "a//b", "x".repeat(256), "d/".repeat(100))
  .map((text) => new PayloadWriter().path(Buffer.from(text)).toBuffer());

/** Changes some bytes, and cuts the end off some. */
function damaged(sound: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), { maxLength: 3 });
  return fc.tuple(sound, changes, fc.option(fc.nat(), { nil: undefined, freq: 4 })).map(([whole, edits, end]) => {
    const copy = Buffer.from(whole);
    for (const [at, value] of edits) if (copy.length > 0) copy[at % copy.length] = value;
    return end === undefined ? copy : copy.subarray(0, end % (copy.length + 1));
  });
}

const ethernet = [2, 0, 0, 0, 0, 2];
const network4 = Buffer.from([1500 >> 8, 1500 & 255, ...ethernet, 4, 198, 18, 0, 2, 32, 198, 18, 0, 1]);
const address6 = (last: number) => [0xfd, ...Array<number>(14).fill(0), last];
const network6 = Buffer.from([1500 >> 8, 1500 & 255, ...ethernet, 6, ...address6(2), 128, ...address6(1)]);

/** Disk 0, no limits, an empty resolv.conf, the arguments of both programs, and a variable. */
const startDocker = new PayloadWriter()
  .bytes(Buffer.alloc(25))
  .path(Buffer.alloc(0))
  .path(Buffer.from("/containerd"))
  .path(Buffer.alloc(0))
  .path(Buffer.from("/dockerd"))
  .path(Buffer.alloc(0))
  .path(Buffer.from("A=1"))
  .toBuffer();
const channel = fc.integer({ min: 3, max: 6 });
const call = fc.oneof(
  path.map((encoded) => Buffer.concat([Buffer.of(methods.putFile, 0, 1, 0xff), Buffer.alloc(8), encoded])),
  path.map((encoded) => Buffer.concat([Buffer.of(methods.readFile), Buffer.alloc(32, 0x01), encoded])),
  fc
    .tuple(fc.constantFrom(methods.list, methods.readLink, methods.removeFile), path)
    .map(([method, encoded]) => Buffer.concat([Buffer.of(method), encoded])),
  fc
    .constantFrom(methods.run, methods.countProcesses, methods.stats, methods.clearStepFiles)
    .map((one) => Buffer.of(one)),
  fc
    .tuple(channel, fc.constantFrom(9, 15, 2, 0, 64))
    .map(([run, number]) => Buffer.of(methods.signal, 0, 0, 0, run, number)),
  fc
    .constantFrom(network4, network6, Buffer.concat([network4, network6.subarray(8)]))
    .map((sound) => Buffer.concat([Buffer.of(methods.network), sound])),
  fc.constant(startDocker).map((sound) => Buffer.concat([Buffer.of(methods.startDocker), sound])),
  fc
    .tuple(fc.integer({ min: 0, max: 20 }), bytes(30))
    .map(([method, rest]) => Buffer.concat([Buffer.of(method), rest])),
);
const steps = fc.constantFrom(step, { ...step, upperBytes: null, readOnlyRoot: false });
const spec = damaged(steps.map(encodeStep)).map((encoded) => Buffer.concat([Buffer.of(0), encoded]));

/** A step whose specification is damaged, as the frames of its call. */
const run = fc
  .tuple(channel, spec)
  .map(([number, encoded]) =>
    Buffer.concat([
      on("call", number)(Buffer.of(methods.run)),
      on("data", number)(encoded),
      on("end", number)(Buffer.of(0)),
    ]),
  );
/** Payloads of frames for the connections that the step makes to its service. */
const connectionPayload = fc.constantFrom(
  Buffer.of(0),
  Buffer.of(0, 65, 66),
  Buffer.alloc(16_000),
  Buffer.of(0, 0, 0, 0, 64),
  Buffer.alloc(0),
);
const frames = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.tuple(channel, damaged(call)).map(([number, payload]) => on("call", number)(payload)) },
    { weight: 6, arbitrary: run },
    { weight: 2, arbitrary: channel.map((number) => on("cancel", number)(Buffer.alloc(0))) },
    { weight: 2, arbitrary: channel.map((number) => on("credit", number)(Buffer.of(0, 0, 0, 0, 99))) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.constantFrom("data", "end", "credit", "reset"), fc.integer({ min: 1, max: 3 }), connectionPayload)
        .map(([type, number, payload]) => on(type, serviceChannel + number)(payload)),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(...types), channel, bytes(20))
        .map(([type, number, payload]) => on(type, number)(payload)),
    },
    { weight: 1, arbitrary: damaged(call.map((payload) => on("call", 5)(payload))) },
  ),
  { minLength: 10, maxLength: 60 },
);

const opening = [
  on("hello", 0)(helloPayload),
  on("call", 1)(Buffer.concat([Buffer.of(methods.seed), Buffer.alloc(32)])),
  on("call", 1)(Buffer.concat([Buffer.of(methods.clock), Buffer.alloc(12)])),
  on("call", 1)(Buffer.of(methods.mountImage, 0, 0)),
  on("call", 1)(new PayloadWriter().uint8(methods.mountWorkspace).uint8(255).uint64(1_048_576).toBuffer()),
];

describe.skipIf(process.geteuid?.() !== 0)("the guest agent, built with sanitizers", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts({ sanitize: true });
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  it("survives damaged frames of a host, or ends with a reason", async () => {
    await fc.assert(
      fc.asyncProperty(frames, async (pieces) => {
        await using guest = parts.start({ hasNetwork: true });
        guest.stream.on("error", () => {});
        let sent = "";
        guest.stream.on("data", (piece: Buffer) => {
          sent += piece.toString("latin1");
        });
        for (const piece of [...opening, ...pieces]) {
          if (guest.stream.destroyed) break;
          guest.stream.write(piece);
          await setImmediate();
        }
        guest.stream.end();
        const { code, console } = await guest.ended;
        expect(console).toMatch(/^(airlock-agent: [ -~]*\n)?$/);
        expect([0, 2]).toContain(code);
        // What the first process of a step reports is output of the step.
        expect(sent).not.toMatch(/Sanitizer|runtime error/);
      }),
      fuzzParameters("frames of a host", 150),
    );
  });
});
