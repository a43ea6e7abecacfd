import { expect, it } from "vitest";
import { takeProbeOwner } from "./probe-owner.ts";

it.skipIf(process.geteuid?.() !== 0)("processes that check machines at once never share an owner", async () => {
  using first = await takeProbeOwner();
  using second = await takeProbeOwner();
  expect(first.owner).toMatch(/^probe-[0-9a-f]{12}-\d+$/);
  expect(second.owner).not.toBe(first.owner);
});
