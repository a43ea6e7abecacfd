import { CreateQueueRequest } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0] = {}) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

describe("`queue update`", () => {
  it("allows or forbids executors to ignore fields of jobs", async () => {
    const { allowUnenforced: _, ...settings } = CreateQueueRequest.parse({ name: "batches" });
    const queue = { ...settings, queued: 0, processing: 0, oldestQueuedMs: null };
    await using instance = await stubInstance({
      "PATCH queues/batches": ({ body }, response) => answerJson(response, { ...queue, ...(body as object) }),
    });
    for (const answer of ["yes", "no"]) {
      const update = ["queue", "update", "batches", "--allow-unenforced", answer];
      expect(await airlock(update, { env: instance.env })).toMatchObject({ code: 0 });
    }
    expect(instance.requests.map(({ body }) => body)).toEqual([{ allowUnenforced: true }, { allowUnenforced: false }]);
    const wrong = await airlock(["queue", "update", "batches", "--allow-unenforced", "maybe"], { env: instance.env });
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("Write yes or no.") });
  });
});
