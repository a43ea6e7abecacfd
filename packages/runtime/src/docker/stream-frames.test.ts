import { expect, it } from "vitest";
import { StreamFrames } from "./stream-frames.ts";

function frame(stream: number, payload: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(payload), 4);
  return Buffer.concat([header, Buffer.from(payload)]);
}

const wire = Buffer.concat([frame(1, "one"), frame(2, "two\n"), frame(1, ""), frame(1, "three"), frame(1, "four")]);

it.each(Array.from({ length: wire.length }, (_, index) => index + 1))(
  "the frame parser finds the same bytes in chunks of %i",
  (size) => {
    const frames = new StreamFrames();
    const text = { stdout: "", stderr: "" };
    for (let at = 0; at < wire.length; at += size) {
      for (const { stream, bytes } of frames.push(wire.subarray(at, at + size))) text[stream] += bytes.toString();
    }
    expect(text).toEqual({ stdout: "onethreefour", stderr: "two\n" });
  },
);

it("the frame parser keeps the order of the streams and joins adjacent parts of one stream", () => {
  const pieces = new StreamFrames().push(wire).map(({ stream, bytes }) => [stream, bytes.toString()]);
  expect(pieces).toEqual([
    ["stdout", "one"],
    ["stderr", "two\n"],
    ["stdout", "threefour"],
  ]);
});

it("the frame parser hands on the available part of a frame that announces 4 GB", () => {
  const header = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  const [piece] = new StreamFrames().push(Buffer.concat([header, Buffer.alloc(1000)]));
  expect(piece?.bytes.length).toBe(1000);
});

it("the frame parser hands on large adjacent parts without copying them", () => {
  const wire = Buffer.concat([frame(1, "a".repeat(5000)), frame(1, "b".repeat(5000)), frame(1, "c"), frame(1, "d")]);
  const pieces = new StreamFrames().push(wire);
  expect(pieces.map(({ bytes }) => bytes.length)).toEqual([5000, 5000, 2]);
  for (const { bytes } of pieces.slice(0, 2)) expect(bytes.buffer).toBe(wire.buffer);
});
