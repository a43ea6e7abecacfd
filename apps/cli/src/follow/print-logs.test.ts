import type { JobView } from "@airlock/api";
import { expect, it } from "vitest";
import { runCommandLine } from "../run-command-line.ts";
import { answerJson, entry, failedJob, jobView, stubInstance } from "../testing/stub-instance.ts";
import { testContext } from "../testing/test-context.ts";

const job = jobView({
  ...failedJob,
  stepKeys: ["build", "test"],
  entries: [
    entry({ attempt: 1, entryId: 1, key: "step.docker.build", exitCode: 1 }),
    entry({ attempt: 2, entryId: 1, key: "setup.git.fetch", exitCode: 0 }),
    entry({ attempt: 2, entryId: 2, key: "step.docker.build", exitCode: 0 }),
    entry({ attempt: 2, entryId: 3, key: "step.docker.test", exitCode: 3 }),
    entry({ attempt: 2, entryId: 4, key: "teardown.fs", exitCode: null }),
  ],
});

async function logs(args: readonly string[], shown: JobView = job) {
  await using instance = await stubInstance({
    "GET jobs/7": (_, response) => answerJson(response, shown),
    ...Object.fromEntries(
      ["attempt=1&entry=1", "attempt=2&entry=2", "attempt=2&entry=3", ""].flatMap((part) =>
        ["true", "false"].map((notes) => {
          const query = `${part}${part && "&"}notes=${notes}`;
          const mark = notes === "true" ? "MARK explains\n" : "";
          return [
            `GET jobs/7/logs?${query}`,
            (_: unknown, response: { end(text: string): void }) =>
              response.end(`${mark}${part} one\n${part} two\nlast`),
          ];
        }),
      ),
    ),
  });
  const context = testContext({ env: instance.env });
  await runCommandLine(["job", "logs", "7", ...args], context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

it.each([
  [
    "a step of the last attempt",
    ["--step", "build"],
    "MARK explains\nattempt=2&entry=2 one\nattempt=2&entry=2 two\nlast",
  ],
  ["what failed", ["--failed", "--output-only"], "attempt=2&entry=3 one\nattempt=2&entry=3 two\nlast"],
  ["what failed in an attempt", ["--failed", "--attempt", "1", "--output-only", "--tail", "1"], "last"],
  ["the end, with the line that names the mark", ["--tail", "2"], "MARK explains\n two\nlast"],
  ["the end of the output", ["--tail", "1", "--output-only"], "last"],
  ["more lines than there are", ["--tail", "100", "--output-only"], " one\n two\nlast"],
])("job logs prints only %s", async (_, args, expected) => {
  expect(await logs(args)).toEqual({ code: 0, stdout: expected, stderr: "" });
});

it("job logs asks for times with --timestamps", async () => {
  await using instance = await stubInstance({
    "GET jobs/7/logs?notes=true&times=true": (_, response) => void response.end("MARK\n2026-12-01T00:00:00.000Z one\n"),
  });
  const context = testContext({ env: instance.env });
  await runCommandLine(["job", "logs", "7", "--timestamps"], context);
  expect(context.printed.stdout).toBe("MARK\n2026-12-01T00:00:00.000Z one\n");
});

it("job logs says that nothing failed", async () => {
  const fine = await logs(["--failed", "--step", "build"]);
  expect(fine).toEqual({ code: 0, stdout: "", stderr: "job 7 has no failed log entry to print\n" });
  const waiting = await logs(["--failed"], jobView({ entries: [] }));
  expect(waiting.stderr).toBe("job 7 has no failed log entry to print\n");
});

it.each([
  [["--step", "tset"], 'job 7 has no step "tset"; did you mean "test"?\n  Its steps are build, test.'],
  [["--step", "test", "--entry", "1"], "--entry cannot be used with --step or --failed"],
  [["--failed", "--entry", "1"], "--entry cannot be used with --step or --failed"],
])("job logs refuses %j as wrong usage", async (args, message) => {
  expect(await logs(args)).toEqual({ code: 2, stdout: "", stderr: expect.stringContaining(message) });
});

it.each(["--failed", "--step=test", "--tail=1", "--timestamps"])("job logs refuses %s with --follow", async (flag) => {
  const { code, stderr } = await logs([flag, "--follow"]);
  expect([code, stderr]).toEqual([125, expect.stringContaining("cannot be used with --follow")]);
});
