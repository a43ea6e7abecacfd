import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { x86_64Calls } from "./x86-64-calls.ts";
import { x86Calls } from "./x86-calls.ts";

const headers = "/usr/include/x86_64-linux-gnu/asm";

it.skipIf(!existsSync(headers)).each([
  ["unistd_64.h", x86_64Calls],
  ["unistd_32.h", x86Calls],
])("has the numbers of this system's %s [needs linux-libc-dev]", (name, calls) => {
  const defined = readFileSync(`${headers}/${name}`, "utf8").matchAll(/^#define __NR_(\w+) (\d+)$/gm);
  const numbers = Object.fromEntries([...defined].map(([, call = "", number]) => [call, Number(number)]));
  expect(Object.keys(numbers).length).toBeGreaterThan(300);
  // A newer header may have calls that the tables lack: the filter refuses those like calls of a future kernel.
  const known = Object.entries(numbers).filter(
    ([call, number]) => call in calls || number <= Math.max(...Object.values(calls)),
  );
  expect(calls).toMatchObject(Object.fromEntries(known));
});

it("gives each number to one call", () => {
  for (const calls of [x86_64Calls, x86Calls]) {
    expect(new Set(Object.values(calls)).size).toBe(Object.keys(calls).length);
  }
});
