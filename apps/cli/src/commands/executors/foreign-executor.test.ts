import { describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0] = {}) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

describe("`executors` for an executor without Airlock's extensions", () => {
  it("does not invent a number of slots", async () => {
    const executor = {
      name: "foreign",
      queues: ["batches"],
      active: true,
      draining: false,
      drainRequested: false,
      resumable: false,
      extensions: false,
      capabilities: [],
      version: "5.3.0",
      runtime: "",
      runtimeVersion: "",
      os: "linux",
      architecture: "amd64",
      gitVersion: "2.43.0",
      dockerVersion: "24.0.5",
      slots: null,
      labels: {},
      firstSeenAt: "2026-08-01T10:00:00.000Z",
      lastSeenAt: "2026-08-01T10:00:00.000Z",
      runningJobs: [7],
    };
    await using instance = await stubInstance({
      "GET executors": (_, response) => answerJson(response, { executors: [executor] }),
    });
    const list = await airlock(["executors", "list"], { env: instance.env });
    expect(list.stdout).toMatch(/foreign +active +batches +linux\/amd64 +- +5\.3\.0 +1\/\? /);
    const { stdout } = await airlock(["executors", "show", "foreign"], { env: instance.env });
    expect(stdout).toMatch(/slots +unknown\n/);
    expect(stdout).toMatch(/docker +24\.0\.5\n/);
  });
});
