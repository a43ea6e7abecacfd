import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { runGit, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { runCommandLine } from "./run-command-line.ts";
import {
  answerJson,
  completedJob,
  failedJob,
  jobView,
  refuse,
  sendEvents,
  stubInstance,
} from "./testing/stub-instance.ts";
import { testContext } from "./testing/test-context.ts";
import { version } from "./version.ts";

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0] = {}) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

const nowhere = { AIRLOCK_URL: "http://127.0.0.1:9", AIRLOCK_TOKEN: "t" };

describe("the command line", () => {
  it("prints its version", async () => {
    const { version: packaged } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
    expect(version).toBe(packaged);
    expect(await airlock(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  it.each([
    ["dev"],
    ["server"],
    ["completion"],
    ["job submit"],
    ["job list"],
    ["job show"],
    ["job logs"],
    ["job cancel"],
    ["job retry"],
    ["repo add"],
    ["repo list"],
    ["repo refresh"],
    ["repo remove"],
    ["queue delete"],
    ["executors list"],
    ["executors show"],
    ["executor-token create"],
    ["executor-token list"],
    ["executor-token rotate"],
    ["executor-token revoke"],
    ["login"],
    ["logout"],
    ["instance list"],
    ["instance use"],
    ["whoami"],
    ["user create"],
    ["user list"],
    ["user show"],
    ["user set-role"],
    ["user reset-link"],
    ["user disable"],
    ["user enable"],
    ["org create"],
    ["org list"],
    ["org show"],
    ["org member list"],
    ["org member add"],
    ["org member set-role"],
    ["org member remove"],
    ["token list"],
    ["token revoke"],
    ["queue list"],
    ["queue create"],
    ["secret list"],
    ["secret set"],
    ["secret delete"],
    ["secret audit"],
    ["secret rotate"],
  ])("explains `%s` with examples and exit codes", async (command) => {
    const { code, stdout } = await airlock([...command.split(" "), "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples?:\n {2}(.*)airlock /);
    expect(stdout).toContain("Exit codes:");
  });

  it.each([
    ["an unknown option with a URL", ["job", "list", "--rep=http://ci:s3cret@h/x"]],
    ["too many arguments", ["job", "list", "http://ci:s3cret@h/x"]],
    ["an argument that is not a number", ["job", "show", "http://ci:s3cret@h/x"]],
    ["the wrong kind of repository", ["repo", "add", "ci:s3cret@h/x"]],
    ["a refusal by the instance", ["repo", "add", "http://ci:s3cret@h/x", "--no-wait"]],
  ])("does not print the password of a URL when it reports %s", async (_, args) => {
    await using instance = await stubInstance({
      "POST repositories": ({ body }, response) =>
        refuse(response, 422, { code: "invalid", message: `no ${JSON.stringify(body)}`, hint: "http://a:s3cret@b" }),
    });
    const { code, stdout, stderr } = await airlock(args, { env: instance.env });
    expect(code).not.toBe(0);
    expect(stderr).toContain("error");
    expect(stdout + stderr).not.toContain("s3cret");
  });

  it.each([
    ["an unknown command", ["jobb"], "unknown command"],
    ["an unknown option", ["job", "list", "--stat"], "--state"],
    ["a missing argument", ["job", "show"], "ID"],
    ["a job that is not a number", ["job", "show", "x7"], "Give the job's number"],
    ["neither file nor command", ["job", "submit"], "nothing to run: give -f FILE or a COMMAND"],
    ["both file and command", ["job", "submit", "-f", "x", "--", "ls"], "cannot be used together"],
    ["a command without an image", ["job", "submit", "--", "ls"], "--image is missing"],
    [
      "a variable without a value",
      ["job", "submit", "--image", "a", "--env", "NOT_SET", "--", "ls"],
      "NOT_SET is not set in this shell",
    ],
    ["an invalid variable name", ["job", "submit", "--image", "a", "--env", "1A=x", "--", "ls"], "--env:"],
    ["an invalid size", ["job", "submit", "--image", "a", "--memory", "lots", "--", "ls"], "--memory: not a size"],
    [
      "an invalid number of cores",
      ["job", "submit", "--image", "a", "--cpus", "two", "--", "ls"],
      "--cpus: must be a number",
    ],
    [
      "an invalid duration",
      ["job", "submit", "--image", "a", "--timeout", "5", "--", "ls"],
      "--timeout: not a duration",
    ],
    ["an invalid queue name", ["job", "submit", "--image", "a", "--queue", "A B", "--", "ls"], "--queue:"],
    ["an invalid image name", ["job", "submit", "--image", "A b", "--", "ls"], "--image:"],
    ["an invalid depth", ["job", "submit", "--image", "a", "--depth", "0", "--", "ls"], "--depth: must be a number of"],
    [
      "a depth that is not a number",
      ["job", "submit", "--image", "a", "--depth", "x", "--", "ls"],
      "--depth: must be a number",
    ],
    [
      "a path outside",
      ["job", "submit", "--image", "a", "--path", "../x", "--", "ls"],
      "--path: must be a relative path",
    ],
    ["an invalid egress rule", ["job", "submit", "--image", "a", "--egress", "http://x", "--", "ls"], "--egress:"],
    [
      "a priority out of range",
      ["job", "submit", "--image", "a", "--priority", "9999", "--", "ls"],
      "--priority: must be at most 1000",
    ],
    ["--once without a job", ["dev", "--once"], "--once requires --job"],
  ])("exits with 2 for %s", async (_, args, message) => {
    const { code, stderr } = await airlock(args, { env: nowhere });
    expect(stderr).toContain(message);
    expect(code).toBe(args.includes("--once") ? 125 : 2);
  });

  it("exits with 125 with --follow when the command itself fails, to distinguish it from the job's exit code", async () => {
    expect((await airlock(["job", "submit", "--follow", "--bogus"])).code).toBe(125);
    expect((await airlock(["job", "logs", "7", "--follow"], { env: nowhere })).code).toBe(125);
    expect((await airlock(["job", "logs", "7"], { env: nowhere })).code).toBe(1);
    // Words after `--` belong to the job's command.
    expect((await airlock(["job", "submit", "--", "x", "--follow"], { env: nowhere })).code).toBe(2);
  });
});

describe("an error", () => {
  it("is one line and a hint, without a stack trace, when the instance is unreachable", async () => {
    const { stderr } = await airlock(["job", "list"], { env: nowhere });
    expect(stderr).toMatch(
      /^error: cannot reach the instance at http:\/\/127\.0\.0\.1:9: .*\n {2}Check AIRLOCK_URL.*\n$/,
    );
  });

  it("names the token's source when the instance refuses it", async () => {
    await using instance = await stubInstance({
      "GET jobs?limit=20": (_, response) => refuse(response, 401, { code: "unauthorized", message: "no" }),
    });
    const { code, stderr } = await airlock(["job", "list"], { env: instance.env });
    expect(code).toBe(1);
    expect(stderr).toContain("The token was read from AIRLOCK_TOKEN");
  });

  it.each([
    ["a server that is not an Airlock instance", 200, "<html>", "sent an unexpected response to"],
    ["a proxy that reports an error", 502, "<html>bad gateway", "answered 502"],
  ])("describes %s", async (_, status, body, message) => {
    await using instance = await stubInstance({
      "GET queues": (_request, response) => void response.writeHead(status).end(body),
    });
    expect((await airlock(["queue", "list"], { env: instance.env })).stderr).toContain(message);
  });

  it("reports a redirect, which the client does not follow with the token", async () => {
    await using instance = await stubInstance({
      "GET queues": (_, response) => void response.writeHead(301, { location: "https://elsewhere.example/" }).end(),
    });
    const { stderr } = await airlock(["queue", "list"], { env: instance.env });
    expect(stderr).toContain("redirects to https://elsewhere.example/");
  });

  it("contains no terminal control sequences", async () => {
    await using instance = await stubInstance({
      "GET queues": (_, response) =>
        refuse(response, 404, { code: "x", message: "a\u001b[2J\u001b]0;t\u0007b", hint: "c\u009bd" }),
    });
    const { stderr } = await airlock(["queue", "list"], { env: instance.env });
    expect(stderr).toContain("error: ab\n");
    expect([...stderr].some((character) => character < "\n" || character === "\u009b")).toBe(false);
  });
});

describe("`job submit`", () => {
  it("makes one step from the command's words, which reach the shell unchanged", async () => {
    await using instance = await stubInstance({ "POST jobs": (_, response) => answerJson(response, jobView(), 201) });
    const { code, stdout } = await airlock(
      [
        ...["job", "submit", "--image", "alpine:3.20", "--queue", "batches", "--env", "A=b=c", "--env", "FROM_HERE"],
        ...[
          "--egress",
          "x.example:443",
          "--egress",
          "10.0.0.0/8",
          "--timeout",
          "5m",
          "--cpus",
          "0.5",
          "--memory",
          "1Gi",
          "--shm",
          "256Mi",
        ],
        ...["--label", "zone=eu", "--priority", "-3", "--idempotency-key", "k1", "--", "sh", "-c", "echo it's; exit 3"],
      ],
      { env: { ...instance.env, FROM_HERE: "here" } },
    );
    expect(stdout).toContain("job 7 submitted");
    expect(code).toBe(0);
    expect(instance.requests).toHaveLength(1);
    expect(instance.requests[0]?.headers["idempotency-key"]).toBe("k1");
    expect(instance.requests[0]?.body).toEqual({
      queue: "batches",
      steps: [
        {
          key: "main",
          image: "alpine:3.20",
          run: `sh -c 'echo it'\\''s; exit 3'`,
          env: { A: "b=c", FROM_HERE: "here" },
        },
      ],
      egress: { allow: ["x.example:443", "10.0.0.0/8"] },
      timeout: "5m",
      resources: { cpus: 0.5, memory: "1Gi", shm: "256Mi" },
      labels: { zone: "eu" },
      priority: -3,
    });
  });

  it("sets how much of the repository is checked out, replacing or extending a job file", async () => {
    await using instance = await stubInstance({ "POST jobs": (_, response) => answerJson(response, jobView(), 201) });
    const flags = ["--depth", "full", "--tags", "--path", "web", "--path", "docs/"];
    await airlock(["job", "submit", "--image", "x", ...flags, "--", "ls"], { env: instance.env });
    const stdin = "checkout: { depth: 5, paths: [a] }\nsteps:\n  - { image: x, run: ls }\n";
    await airlock(["job", "submit", "-f", "-", "--depth", "7", "--path", "b"], { env: instance.env, stdin });
    expect(instance.requests.map(({ body }) => body)).toMatchObject([
      { checkout: { depth: "full", tags: true, paths: ["web", "docs/"] } },
      { checkout: { depth: 7, paths: ["a", "b"] } },
    ]);
  });

  it.each([{ json: [] }, { json: ["--json"] }])("prints the instance's warnings on stderr, %o", async ({ json }) => {
    const warnings = ['the revision "1.0" could be a tag or a branch\u001b[2J'];
    const view = jobView({ warnings });
    await using instance = await stubInstance({ "POST jobs": (_, response) => answerJson(response, view, 201) });
    const { code, stdout, stderr } = await airlock(["job", "submit", "--image", "x", ...json, "--", "ls"], {
      env: instance.env,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'warning: the revision "1.0" could be a tag or a branch\n' });
    expect(stdout).not.toContain("warning:");
  });

  it("reads a job file from standard input, and options on the command line override it", async () => {
    await using instance = await stubInstance({ "POST jobs": (_, response) => answerJson(response, jobView(), 201) });
    const stdin = "queue: a\nsteps:\n  - { image: x, run: ls, env: { A: '1', B: '1' } }\n";
    const { code } = await airlock(["job", "submit", "-f", "-", "--queue", "b", "--env", "B=2", "--json"], {
      env: instance.env,
      stdin,
    });
    expect(code).toBe(0);
    expect(instance.requests[0]?.body).toEqual({
      queue: "b",
      steps: [{ image: "x", run: "ls", env: { A: "1", B: "2" } }],
    });
  });

  it("sends the same idempotency key again when the answer was lost", async () => {
    let tries = 0;
    await using instance = await stubInstance({
      "POST jobs": (_, response) => {
        tries += 1;
        if (tries === 1) response.destroy();
        else answerJson(response, jobView());
      },
    });
    const { code } = await airlock(["job", "submit", "--image", "x", "--", "ls"], { env: instance.env });
    expect(code).toBe(0);
    const keys = instance.requests.map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  it("shows a problem that the instance finds at the file's line", async () => {
    await using instance = await stubInstance({
      "POST jobs": (_, response) =>
        refuse(response, 422, { code: "unknown-queue", message: 'no queue "zzz"', issues: ['queue: no queue "zzz"'] }),
    });
    await using directory = await temporaryDirectory();
    await writeFile(path.join(directory.path, "job.yaml"), "# mine\nqueue: zzz\nsteps:\n  - { image: x, run: ls }\n");
    const { code, stderr } = await airlock(["job", "submit", "-f", "job.yaml"], {
      env: instance.env,
      cwd: directory.path,
    });
    expect(code).toBe(1);
    expect(stderr).toContain('job.yaml:2:8: queue: no queue "zzz"');
    expect(stderr).toContain("airlock queue list");
  });

  it("sends a queue's maximum wait in milliseconds, and refuses one that is not a duration", async () => {
    await using instance = await stubInstance({
      "PATCH queues/nightly": (_, response) =>
        refuse(response, 404, { code: "not-found", message: 'queue "nightly" not found' }),
    });
    const bodies = () => instance.requests.map(({ body }) => body);
    for (const wait of ["1h30m", "none"]) {
      await airlock(["queue", "update", "nightly", "--max-wait", wait], { env: instance.env });
    }
    expect(bodies()).toEqual([{ maxWaitMs: 5_400_000 }, { maxWaitMs: null }]);
    await airlock(["queue", "update", "nightly", "--limit", "none", "--namespace-limit", "none"], {
      env: instance.env,
    });
    expect(bodies().at(-1)).toEqual({ concurrencyLimit: null, namespaceConcurrencyLimit: null });
    for (const wait of ["soon", "0"]) {
      const refused = await airlock(["queue", "update", "nightly", "--max-wait", wait], { env: instance.env });
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("--max-wait") });
    }
    expect(bodies()).toHaveLength(3);
  });

  it("warns that no executor can run the job", async () => {
    const message = 'No executor is connected to queue "default".';
    const waiting = jobView({ state: "queued", executor: null, explanation: { code: "no-executor", message } });
    await using instance = await stubInstance({ "POST jobs": (_, response) => answerJson(response, waiting, 201) });
    const { code, stderr } = await airlock(["job", "submit", "--image", "x", "--", "ls"], { env: instance.env });
    expect([code, stderr]).toEqual([0, `warning: ${message}\n`]);
  });

  it("warns which changes of a checkout are in no commit and so not in the job", async () => {
    await using directory = await temporaryDirectory();
    await runGit(directory.path, ["init", "--quiet"]);
    await writeFile(path.join(directory.path, "new file"), "1");
    const repository = { name: "app", url: directory.path, state: "ready", error: null, head: null, fetchedAt: null };
    await using instance = await stubInstance({
      "GET repositories": (_, response) => answerJson(response, { repositories: [{ ...repository, sizeBytes: null }] }),
      "POST jobs": (_, response) => answerJson(response, jobView(), 201),
    });
    const submit = (...more: string[]) =>
      airlock(["job", "submit", "--repo", ".", ...more, "--image", "x", "--", "ls"], {
        env: instance.env,
        cwd: directory.path,
      });
    expect((await submit()).stderr).toBe(
      `warning: the job runs the commit, without uncommitted changes in ${directory.path}: 1 untracked (new file). --dirty includes them\n`,
    );
    expect((await submit("--rev", "main")).stderr).toBe("");
  });

  it("submits the working tree of a checkout with --dirty, or its commit if nothing differs", async () => {
    await using directory = await temporaryDirectory();
    await runGit(directory.path, ["init", "--quiet"]);
    await writeFile(path.join(directory.path, "file"), "1");
    await runGit(directory.path, ["add", "--all"]);
    await runGit(directory.path, ["commit", "--quiet", "-m", "one"]);
    const repository = { name: "app", url: directory.path, state: "ready", error: null, head: null, fetchedAt: null };
    await using instance = await stubInstance({
      "GET repositories": (_, response) => answerJson(response, { repositories: [{ ...repository, sizeBytes: null }] }),
      "POST jobs": (_, response) => answerJson(response, jobView(), 201),
    });
    const submit = (...flags: string[]) =>
      airlock(["job", "submit", "--dirty", ...flags, "--image", "x", "--", "ls"], {
        env: { ...instance.env, PATH: process.env.PATH },
        cwd: directory.path,
      });
    const revisions = () =>
      instance.requests.flatMap(({ path: route, body }) =>
        route === "jobs" ? [(body as { revision?: string }).revision] : [],
      );
    expect(await submit("--repo", ".")).toMatchObject({ code: 0, stderr: "" });
    await writeFile(path.join(directory.path, "file"), "2");
    expect(await submit("--repo", ".")).toMatchObject({
      code: 0,
      stderr: "the job includes uncommitted changes: 1 changed (file)\n",
    });
    expect(revisions()).toEqual([undefined, expect.stringMatching(/^[0-9a-f]{40}$/)]);
    expect(await runGit(directory.path, ["show", `${revisions()[1]}:file`])).toBe("2");
    for (const [flags, words] of [
      [["--repo", ".", "--rev", "main"], 'Leave out the revision "main", or --dirty'],
      [["--repo", "app"], "--dirty needs the path of a checkout"],
      [[], "--dirty needs the path of a checkout"],
    ] as const) {
      expect(await submit(...flags)).toMatchObject({ code: 2, stderr: expect.stringContaining(words) });
    }
    expect(revisions()).toHaveLength(2);
  });

  it("names the flag that causes a problem found by the instance", async () => {
    await using instance = await stubInstance({
      "POST jobs": (_, response) =>
        refuse(response, 422, { code: "x", message: "bad image", issues: ["steps[0].image: bad image"] }),
    });
    const { code, stderr } = await airlock(["job", "submit", "--image", "x", "--", "ls"], { env: instance.env });
    expect(code).toBe(1);
    expect(stderr).toContain("error: --image: bad image");
  });

  it("reports where it can't read the job file", async () => {
    const { code, stderr } = await airlock(["job", "submit", "-f", "/does/not/exist.yaml"], { env: nowhere });
    expect(code).toBe(2);
    expect(stderr).toContain("/does/not/exist.yaml");
    expect(stderr).toContain("Give the path of a YAML or JSON file");
  });

  it("exits with the job's exit code when it follows the job", async () => {
    await using instance = await stubInstance({
      "POST jobs": (_, response) => answerJson(response, jobView(), 201),
      "GET jobs/7/events": (_, response) => {
        sendEvents(response, [{ kind: "job", job: failedJob }, { kind: "end" }]);
        response.end();
      },
      "GET jobs/7": (_, response) => answerJson(response, failedJob),
    });
    const { code } = await airlock(["job", "submit", "--image", "x", "--follow", "--", "ls"], { env: instance.env });
    expect(code).toBe(3);
  });
});

describe("lists", () => {
  it("show jobs as a table without terminal control sequences", async () => {
    await using instance = await stubInstance({
      "GET jobs?state=completed&limit=20": (_, response) =>
        answerJson(response, {
          jobs: [
            { ...completedJob, repository: "team/app", revision: "evil\u001b[2J\nname", stepKeys: ["test", "build"] },
          ],
          next: 7,
        }),
    });
    const { stdout, stderr } = await airlock(["job", "list", "--state", "completed"], { env: instance.env });
    const [header, row, ...rest] = stdout.trimEnd().split("\n");
    expect(header).toMatch(/^ID {2}STATE/);
    expect(row).toMatch(/^7 +completed +default +team\/app +evil name .* 3\.2s +test, build$/);
    expect(rest).toEqual([]);
    expect(stderr).toContain("--before 7");
  });

  it("can be printed as JSON for programs", async () => {
    await using instance = await stubInstance({ "GET queues": (_, response) => answerJson(response, { queues: [] }) });
    expect(JSON.parse((await airlock(["queue", "list", "--json"], { env: instance.env })).stdout)).toEqual({
      queues: [],
    });
  });

  it("tell the user what to do when they are empty", async () => {
    await using instance = await stubInstance({
      "GET executors": (_, response) => answerJson(response, { executors: [] }),
      "GET repositories": (_, response) => answerJson(response, { repositories: [] }),
    });
    expect((await airlock(["executors", "list"], { env: instance.env })).stderr).toContain("executor run");
    expect((await airlock(["repo", "list"], { env: instance.env })).stderr).toContain("airlock repo add");
  });
});

describe("`executors`", () => {
  const executor = {
    name: "build-7",
    queues: ["default"],
    active: true,
    draining: false,
    drainRequested: false,
    resumable: false,
    extensions: true,
    capabilities: [],
    version: "0.1.0",
    runtime: "docker",
    runtimeVersion: "27.3.1",
    os: "linux",
    architecture: "arm64",
    gitVersion: "2.47.1",
    dockerVersion: "27.3.1",
    slots: 2,
    labels: { zone: "a" },
    firstSeenAt: "2026-08-01T10:00:00.000Z",
    lastSeenAt: "2026-08-01T10:00:00.000Z",
    runningJobs: [7],
  };

  it("shows the operating system, the architecture and the versions of programs", async () => {
    await using instance = await stubInstance({
      "GET executors": (_, response) => answerJson(response, { executors: [executor] }),
    });
    const list = await airlock(["executors", "list"], { env: instance.env });
    expect(list.stdout).toMatch(/build-7 +active +default +linux\/arm64 +docker 27\.3\.1 +0\.1\.0 +1\/2 /);
    const { stdout } = await airlock(["executors", "show", "build-7"], { env: instance.env });
    for (const line of [/platform +linux\/arm64\n/, /git +2\.47\.1\n/, /docker +27\.3\.1\n/, /labels +zone=a\n/]) {
      expect(stdout).toMatch(line);
    }
    expect(stdout).toMatch(/slots +2\n/);
    const unknown = await airlock(["executors", "show", "other"], { env: instance.env });
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("airlock executors list") });
  });
});

describe("`job show`", () => {
  it("shows checkout options that differ from the default", async () => {
    const checkout = { depth: "full" as const, tags: true, paths: ["a", "b\u001b[2J"] };
    await using instance = await stubInstance({
      "GET jobs/7": (_, response) => answerJson(response, jobView({ checkout })),
      "GET jobs/8": (_, response) => answerJson(response, jobView()),
    });
    const { stdout, stderr } = await airlock(["job", "show", "7"], { env: instance.env });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/checkout +full history, tags, only a b\n/);
    expect((await airlock(["job", "show", "8"], { env: instance.env })).stdout).not.toContain("checkout");
  });

  it("shows the state with its reason, the attempts and the log entries", async () => {
    const job = {
      ...failedJob,
      attempts: [
        {
          attempt: 1,
          state: "failed" as const,
          executor: "executor-1",
          startedAt: "2026-08-01T10:00:01.000Z",
          finishedAt: "2026-08-01T10:00:04.200Z",
          failureReason: "step-failed" as const,
          failureMessage: 'step "main" exited with 3',
        },
      ],
      entries: [
        {
          attempt: 1,
          entryId: 1,
          key: "step.docker.main",
          command: [],
          startedAt: "2026-08-01T10:00:01.000Z",
          exitCode: 3,
          durationMs: 40,
          length: 2048,
          notes: 0,
        },
      ],
    };
    await using instance = await stubInstance({ "GET jobs/7": (_, response) => answerJson(response, job) });
    const { stdout } = await airlock(["job", "show", "7"], { env: instance.env });
    expect(stdout).toMatch(/state +failed/);
    expect(stdout).toMatch(/exit code +3/);
    expect(stdout).toMatch(/\n1 +failed +executor-1 +\S+ ago +3\.2s +step "main" exited with 3\n/);
    expect(stdout).toMatch(/\n1\.1 +step\.docker\.main +3 +40ms +2 KiB\n/);
  });
});

describe("`job logs`", () => {
  it("prints unchanged bytes into a pipe and safe text on a terminal", async () => {
    const log = Buffer.from("\u001b]0;t\u0007a\u001b[31mb\n");
    await using instance = await stubInstance({
      "GET jobs/7/logs?attempt=2&notes=true": (_, response) => void response.writeHead(200).end(log),
      "GET jobs/7/logs?attempt=2&entry=1&notes=false": (_, response) => void response.writeHead(200).end("only"),
    });
    const args = ["job", "logs", "7", "--attempt", "2"];
    expect((await airlock(args, { env: instance.env })).stdout).toBe(log.toString());
    expect((await airlock(args, { env: instance.env, isTerminal: true })).stdout).toBe("a\u001b[0;31mb\u001b[0m\n");
    expect((await airlock([...args, "--entry", "1", "--output-only"], { env: instance.env })).stdout).toBe("only");
  });
});
