import { AuditEntryView } from "@airlock/api";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { type RealInstance, startRealInstance } from "../../testing/real-instance.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

describeWithEngines(["postgres"], "`airlock audit` with an instance", () => {
  let instance: RealInstance;
  beforeAll(async () => {
    instance = await startRealInstance();
    await instance.submit("--namespace", "crew");
    await instance.airlock(["queue", "create", "nightly"]);
  });
  afterAll(async () => instance?.[Symbol.asyncDispose]());

  it("lists what was done, and that it was the administrator's token", async () => {
    const { code, stdout } = await instance.airlock(["audit", "list", "--since", "1h"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/queue\.created +administrator +administrator-token +127\.0\.0\.1 +- +queue nightly/);
    expect(stdout).toMatch(/job\.submitted +administrator +administrator-token +127\.0\.0\.1 +crew +job 1/);
    const filtered = await instance.airlock(["audit", "list", "--namespace", "crew", "--action", "job"]);
    expect(filtered.stdout.trimEnd().split("\n").length).toBe(2);
    const next = await instance.airlock(["audit", "list", "--limit", "1"]);
    expect(next.stderr).toMatch(/more entries: add --before \d+/);
    expect((await instance.airlock(["audit", "list", "--actor", "nobody-here"])).stderr).toBe("no entries\n");
  });

  it("exports lines of JSON", async () => {
    const { stdout } = await instance.airlock(["audit", "export", "--job", "1"]);
    const entries = stdout
      .trimEnd()
      .split("\n")
      .map((line) => AuditEntryView.parse(JSON.parse(line)));
    expect(entries).toMatchObject([{ action: "job.submitted", job: 1, namespace: "crew" }]);
  });
});

describe("`airlock audit list`", () => {
  it("prints no control sequences of names", async () => {
    const entry = {
      id: 1,
      at: "2026-01-01T00:00:00.000Z",
      action: "executor.drained",
      actor: "ann\u001b[2J",
      via: "session",
      credential: "7\u001b]0;x\u0007",
      address: null,
      namespace: null,
      target: { kind: "executor", name: "rack\u001b[1A\u202e" },
      job: null,
      details: {},
    };
    await using instance = await stubInstance({
      "GET audit?limit=50": (_, response) => answerJson(response, { entries: [entry], next: null }),
    });
    const context = testContext({ env: instance.env });
    await runCommandLine(["audit", "list"], context);
    expect(context.printed.stdout).toContain("executor rack");
    for (const hidden of "\u001b\u0007\u202e") expect(context.printed.stdout).not.toContain(hidden);
  });
});
