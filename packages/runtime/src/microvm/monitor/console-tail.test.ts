import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { ConsoleTail } from "./console-tail.ts";

it("keeps the last 16 KiB of a console, printable", () => {
  const stream = new PassThrough();
  const tail = new ConsoleTail(stream);
  stream.emit("data", Buffer.alloc(20_000, "x"));
  stream.emit("data", Buffer.from("\u001b[2J last\r\n\u00e9\twords\n"));
  expect(tail.text).toMatch(/x\?\[2J last\n\?\?\twords$/);
  expect(tail.text.length).toBeLessThanOrEqual(16_384);
});

it("stops reading a guest that prints without end", () => {
  const stream = new PassThrough();
  const tail = new ConsoleTail(stream);
  stream.resume();
  for (let printed = 0; printed < 32; printed += 1) stream.emit("data", Buffer.alloc(32_768, "y"));
  expect(stream.isPaused()).toBe(true);
  expect(tail.text).toBe("y".repeat(16_384));
});
