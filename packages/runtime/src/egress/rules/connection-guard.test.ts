import { expect, it } from "vitest";
import { ConnectionGuard } from "./connection-guard.ts";

it("new connections pause when three quarters of the table are used, and resume well below that", async () => {
  const problems: string[] = [];
  let used = 0;
  const table = {
    isPaused: false,
    pause: async (isPaused: boolean) => {
      table.isPaused = isPaused;
    },
  };
  const guard = new ConnectionGuard({
    table,
    read: async () => ({ used, size: 1000 }),
    onProblem: (problem) => problems.push(problem),
  });
  const states: boolean[] = [];
  for (used of [100, 749, 750, 900, 700, 600, 599, 700]) {
    await guard.check();
    states.push(table.isPaused);
  }
  expect(states).toEqual([false, false, true, true, true, true, false, false]);
  expect(problems).toEqual([
    expect.stringContaining("nearly full (750 of 1000)"),
    expect.stringContaining("has room again (599 of 1000)"),
  ]);
});
