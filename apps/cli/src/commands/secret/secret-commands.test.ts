import { writeFile } from "node:fs/promises";
import path from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

const secret = {
  name: "NPM_TOKEN",
  namespace: "team-a",
  queue: null,
  description: "publishes\u001b[2J",
  createdAt: "2026-01-01T00:00:00.000Z",
  createdBy: "administrator",
  updatedAt: "2026-01-01T00:00:00.000Z",
  updatedBy: "administrator",
  lastUsedAt: null,
};

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0] = {}) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

describe("`airlock secret set`", () => {
  it.each([
    ["standard input, without its final newline", { stdin: "first\nsecond\n\n" }, [], "first\nsecond\n"],
    ["standard input that has no final newline", { stdin: "p\u00e4ss" }, [], "p\u00e4ss"],
    ["a file, byte for byte", {}, ["--from-file", "value"], "-----BEGIN-----\r\nabc\n"],
  ])("takes the value from %s", async (_title, options, args, value) => {
    await using directory = await temporaryDirectory();
    await writeFile(path.join(directory.path, "value"), "-----BEGIN-----\r\nabc\n");
    await using instance = await stubInstance({
      "PUT secrets/NPM_TOKEN": (_, response) => answerJson(response, secret, 201),
    });
    const { stdout, stderr } = await airlock(["secret", "set", "NPM_TOKEN", "--namespace", "team-a", ...args], {
      env: instance.env,
      cwd: directory.path,
      ...options,
    });
    expect(instance.requests[0]?.body).toEqual({ namespace: "team-a", queue: null, value });
    expect(stdout).toBe("secret NPM_TOKEN for namespace team-a created\n");
    expect(stdout + stderr).not.toContain(value.trim());
  });

  it.each([
    ["a value on the command line", ["hunter2-hunter2"], {}, "too many arguments"],
    ["bytes that are not text", ["--from-file", "binary"], {}, "base64"],
    ["a missing file", ["--from-file", "nowhere"], {}, "cannot read the value"],
  ])("refuses %s and does not repeat the value", async (_title, args, options, message) => {
    await using directory = await temporaryDirectory();
    await writeFile(path.join(directory.path, "binary"), Buffer.from([0x68, 0xff, 0xfe]));
    await using instance = await stubInstance({});
    const { code, stderr } = await airlock(["secret", "set", "NPM_TOKEN", ...args], {
      env: instance.env,
      cwd: directory.path,
      ...options,
    });
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("hunter2");
    expect(instance.requests).toEqual([]);
  });
});

describe("the audit log of secrets", () => {
  it("shows who did what, and where a job used the secret", async () => {
    const event = {
      id: 9,
      at: "2026-01-01T00:00:00.123Z",
      action: "used",
      name: "NPM_TOKEN",
      namespace: null,
      queue: null,
      actor: "builder-1",
      via: "lease",
      job: 7,
      attempt: 2,
      step: "publish",
    };
    await using instance = await stubInstance({
      "GET secrets/audit?name=NPM_TOKEN&limit=1": (_, response) => answerJson(response, { events: [event], next: 9 }),
    });
    const { stdout, stderr } = await airlock(["secret", "audit", "NPM_TOKEN", "--limit", "1"], { env: instance.env });
    expect(stdout).toMatch(/2026-01-01 00:00:00Z +used +NPM_TOKEN .*builder-1 +job 7, attempt 2, step publish/);
    expect(stderr).toContain("--before 9");
  });
});

describe("the list of secrets", () => {
  it("shows no terminal control sequences", async () => {
    await using instance = await stubInstance({
      "GET secrets": (_, response) => answerJson(response, { secrets: [secret] }),
    });
    const { stdout } = await airlock(["secret", "list"], { env: instance.env });
    expect(stdout).toMatch(/NPM_TOKEN +team-a +\(all\) .*never +publishes\n/);
  });
});
