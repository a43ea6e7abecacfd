import { describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

const view = {
  id: 7,
  name: "rack\u001b[2J 1",
  queue: "nightly",
  createdAt: "2026-01-01T00:00:00.000Z",
  createdBy: "administrator",
  expiresAt: null,
  lastUsedAt: null,
  lastAddress: null,
  executors: ["a", "b", "c", "d", "e"].map((name) => ({ name, lastUsedAt: "2026-01-01T00:00:00.000Z" })),
};
const created = { ...view, token: "airlock_exec_0123" };

async function airlock(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const context = testContext({ env });
  await runCommandLine(["executor-token", ...args], context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

describe("`airlock executor-token`", () => {
  it("creates and rotates tokens, and prints only the token on standard output", async () => {
    await using instance = await stubInstance({
      "POST executor-tokens": (_, response) => answerJson(response, created, 201),
      "POST executor-tokens/7/rotate": (_, response) => answerJson(response, created, 201),
    });
    for (const args of [
      ["create", "rack 1", "--queue", "nightly"],
      ["rotate", "7", "--overlap", "2h"],
      ["rotate", "7"],
    ]) {
      const { stdout, stderr } = await airlock(args, instance.env);
      expect(stdout).toBe("airlock_exec_0123\n");
      expect(stderr).toContain("not shown again");
    }
    expect(instance.requests.map(({ body }) => body)).toEqual([
      { name: "rack 1", queue: "nightly" },
      { overlapMs: 7_200_000 },
      {},
    ]);
  });

  it("lists tokens with their executors, without terminal control sequences", async () => {
    await using instance = await stubInstance({
      "GET executor-tokens": (_, response) => answerJson(response, { tokens: [view, { ...view, queue: "other" }] }),
    });
    const { stdout } = await airlock(["list", "--queue", "nightly"], instance.env);
    expect(stdout).toMatch(/7 +rack 1 +nightly .*never +never +a, b, c, 2 more\n$/);
    expect(stdout).not.toContain("other");
  });

  it("names the jobs that still run when it revokes a token", async () => {
    await using instance = await stubInstance({
      "DELETE executor-tokens/7": (_, response) => answerJson(response, { runningJobs: [3, 9] }),
    });
    const { stdout, stderr } = await airlock(["revoke", "7"], instance.env);
    expect(stdout).toBe("executor token 7 revoked\n");
    expect(stderr).toContain("airlock job cancel 3 9");
  });

  it.each([
    [["create", "rack 1"], "--queue"],
    [["rotate", "x"], "airlock executor-token list"],
    [["rotate", "7", "--overlap", "100d"], "at most 90d"],
    [["revoke", "-1"], "-1"],
  ])("refuses %j as wrong usage", async (args, message) => {
    const { code, stderr } = await airlock(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
