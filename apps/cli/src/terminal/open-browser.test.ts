import { chmod, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it, vi } from "vitest";
import { jobPage } from "../instance/web-link.ts";
import { runCommandLine } from "../run-command-line.ts";
import { answerJson, jobView, stubInstance } from "../testing/stub-instance.ts";
import { testContext } from "../testing/test-context.ts";

async function airlock(args: readonly string[], env: NodeJS.ProcessEnv) {
  const context = testContext({ env });
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

const answers = {
  "POST jobs": (_: unknown, response: Parameters<typeof answerJson>[0]) => answerJson(response, jobView(), 201),
  "GET jobs/7": (_: unknown, response: Parameters<typeof answerJson>[0]) => answerJson(response, jobView()),
};
const submit = ["job", "submit", "--image", "x"];

it("submit and show print the link of the job's page", async () => {
  await using instance = await stubInstance(answers);
  const page = `${instance.url}/jobs/7`;
  expect((await airlock([...submit, "--", "ls"], instance.env)).stdout).toContain(`  ${page}\n`);
  expect((await airlock(["job", "show", "7"], instance.env)).stdout).toMatch(new RegExp(`web +${page}\n`));
  for (const args of [
    [...submit, "--json", "--", "ls"],
    ["job", "show", "7", "--json"],
  ]) {
    expect(JSON.parse((await airlock(args, instance.env)).stdout)).toMatchObject({ id: 7, webUrl: page });
  }
});

it("the link keeps the path under which the instance is reached", async () => {
  await using instance = await stubInstance({});
  const connection = { ...instance.client.connection, url: new URL("https://example.com/airlock/") };
  expect(jobPage(connection, 7)).toBe("https://example.com/airlock/jobs/7");
});

it.each([
  ["as the last argument", "PROGRAM --new-tab", ["--new-tab", "URL"]],
  ["in the place of %s", "/does/not/exist:PROGRAM --page=%s --now", ["--page=URL", "--now"]],
])("--web gives the link to BROWSER %s", async (_, browser, args) => {
  await using directory = await temporaryDirectory();
  const program = path.join(directory.path, "browser");
  const seen = path.join(directory.path, "seen");
  await writeFile(program, `#!/bin/sh\nprintf '%s\\n' "$@" > ${seen}.part && mv ${seen}.part ${seen}\n`);
  await chmod(program, 0o755);
  await using instance = await stubInstance(answers);
  const page = `${instance.url}/jobs/7`;
  const env = { ...instance.env, PATH: process.env.PATH, BROWSER: browser.replace("PROGRAM", program) };
  const { code, stderr } = await airlock(["job", "show", "7", "--web"], env);
  expect([code, stderr]).toEqual([0, `opening ${page}\n`]);
  const words = await vi.waitFor(() => readFile(seen, "utf8"), { timeout: 10_000 });
  expect(words).toBe(args.map((word) => `${word.replace("URL", page)}\n`).join(""));
});

it("--web prints the link where there is no browser", async () => {
  await using instance = await stubInstance(answers);
  for (const env of [
    { ...instance.env, BROWSER: "/does/not/exist" },
    { ...instance.env, PATH: "/nowhere", DISPLAY: ":0" },
  ]) {
    const { code, stderr } = await airlock([...submit, "--web", "--", "ls"], env);
    expect([code, stderr]).toEqual([0, `no browser found here; open ${instance.url}/jobs/7\n`]);
  }
});
