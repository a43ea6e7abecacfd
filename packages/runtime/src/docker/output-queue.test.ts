import { setImmediate as tick } from "node:timers/promises";
import { expect, it } from "vitest";
import { OutputQueue } from "./output-queue.ts";

const piece = { stream: "stdout", bytes: Buffer.alloc(200 * 1024) } as const;

it("the output queue pauses the stream while the output callback is busy, until the pause is lifted", async () => {
  const gate = Promise.withResolvers<void>();
  const queue = new OutputQueue(() => gate.promise);
  await queue.push(piece);
  let passed = false;
  const second = queue.push(piece).then(() => {
    passed = true;
  });
  await tick();
  expect(passed).toBe(false);
  queue.lift();
  await second;
  await queue.push(piece);
  gate.resolve();
  await queue.drained();
});

it("the output queue never calls the output callback before the previous call has ended", async () => {
  let running = 0;
  let most = 0;
  const queue = new OutputQueue(async () => {
    running += 1;
    most = Math.max(most, running);
    await tick();
    running -= 1;
  });
  for (let count = 0; count < 10; count += 1) await queue.push(piece);
  await queue.drained();
  expect(most).toBe(1);
});

it("the output queue reports an output callback that threw, and discards later output", async () => {
  const queue = new OutputQueue(() => Promise.reject(new Error("disk full")));
  for (let count = 0; count < 10; count += 1) await queue.push(piece);
  await expect(queue.failed).rejects.toThrow("disk full");
  await expect(queue.drained()).rejects.toThrow("disk full");
});
