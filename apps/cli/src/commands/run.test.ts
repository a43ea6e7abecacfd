import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { text } from "node:stream/consumers";
import { describeWithEngines, runGit, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../run-command-line.ts";
import { testContext } from "../testing/test-context.ts";

const main = path.resolve(import.meta.dirname, "../main.ts");
const secret = "a-secret-value-of-a-test";

let directory: TemporaryDirectory;
let checkout: string;

beforeAll(async () => {
  directory = await temporaryDirectory();
  checkout = path.join(directory.path, "app");
  await mkdir(checkout);
  await runGit(checkout, ["init", "--quiet", "--initial-branch=main"]);
  await writeFile(path.join(checkout, "a.txt"), "committed\n");
  await writeFile(path.join(checkout, ".gitignore"), "ignored\n");
  await runGit(checkout, ["add", "--all"]);
  await runGit(checkout, ["-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "One"]);
  await writeFile(path.join(checkout, "a.txt"), "changed\n");
  await writeFile(path.join(checkout, "new.txt"), "untracked\n");
  await writeFile(path.join(checkout, "ignored"), "ignored\n");
});
afterAll(() => directory?.[Symbol.asyncDispose]());

/** Writes a job file beside the checkout's files, where git ignores it. */
async function jobFile(job: object): Promise<string> {
  await mkdir(path.join(checkout, "ignored.d"), { recursive: true });
  const file = path.join(checkout, "ignored.d", "job.json");
  await writeFile(path.join(checkout, "ignored.d", ".gitignore"), "*\n");
  await writeFile(file, JSON.stringify({ egress: "none", ...job }));
  return file;
}

describeWithEngines(["oci"], "`airlock run`", () => {
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const own = Object.entries(process.env).filter(([name]) => !/^(?:AIRLOCK_|EXECUTOR_|NODE_|VITEST)/.test(name));
    return spawn(process.execPath, [main, "run", ...args], {
      cwd: directory.path,
      env: {
        ...Object.fromEntries(own),
        EXECUTOR_RUNTIME: "oci",
        EXECUTOR_DATA_DIR: path.join(directory.path, "data"),
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
  };
  const run = async (args: readonly string[], env?: NodeJS.ProcessEnv) => {
    const child = start(args, env);
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close") as Promise<[number]>,
    ]);
    return { code, stdout, stderr };
  };

  it("runs the uncommitted tree of the job file's checkout, with secrets, and keeps artifacts", async () => {
    const steps = [
      {
        key: "show",
        image: "host",
        run: 'cat a.txt new.txt; ls; printf "%s" "$TOKEN" | wc -c; echo "$TOKEN"',
        secrets: ["TOKEN"],
      },
      { key: "write", image: "host", run: 'test -z "$TOKEN"; echo made > out.txt' },
    ];
    const file = await jobFile({ repository: "app", steps, outputs: ["out.txt"], diff: true });
    const artifacts = path.join(directory.path, "artifacts");
    const { code, stdout, stderr } = await run([file, "--secret", "TOKEN", "--artifacts", artifacts], {
      TOKEN: secret,
    });
    expect([code, stdout], stderr).toEqual([0, `changed\nuntracked\na.txt\nnew.txt\n${secret.length}\n[TOKEN]\n`]);
    expect(stderr).toContain("HEAD with 1 changed, 1 untracked (a.txt, new.txt)");
    expect(stderr).toContain("✔ the job completed");
    expect(stdout + stderr).not.toContain(secret);
    expect((await readdir(artifacts)).sort()).toEqual(["outputs.tar.gz", "workspace.diff"]);
    expect(await readFile(path.join(artifacts, "workspace.diff"), "utf8")).toContain("+made");
    // Branches, the index and the files stay as they are.
    expect(await readFile(path.join(checkout, "a.txt"), "utf8")).toBe("changed\n");
    expect((await runGit(checkout, ["status", "--porcelain"])).toString()).toContain(" M a.txt");
  });

  it("leaves uncommitted changes out with --committed, and exits with the failing step's code", async () => {
    const steps = [{ key: "main", image: "host", run: "cat a.txt; ls new.txt 2>/dev/null || exit 7" }];
    const file = await jobFile({ steps });
    const { code, stdout, stderr } = await run([file, "--repo", checkout, "--committed"]);
    expect([code, stdout], stderr).toEqual([7, "committed\n"]);
    expect(stderr).toContain('✖ the job failed: step "main" exited with 7');
  });

  it("cancels the job at Ctrl-C, and leaves no sandbox behind", async () => {
    const steps = [{ key: "main", image: "host", run: "echo started; sleep 600" }];
    const child = start([await jobFile({ steps })]);
    const ended = once(child, "close") as Promise<[number]>;
    let output = "";
    child.stdout.on("data", (bytes) => {
      output += bytes;
    });
    const errors = text(child.stderr);
    await expect.poll(() => output, { timeout: 60_000 }).toContain("started");
    child.kill("SIGINT");
    expect((await ended)[0], await errors).toBe(130);
    expect(await errors).toContain("✖ the job was canceled");
    expect(await readdir(path.join(directory.path, "data", "jobs")).catch(() => [])).toEqual([]);
  });

  it("exits with 125 when the sandbox can't be had, and says why", async () => {
    const file = await jobFile({ steps: [{ image: "host", run: "true" }] });
    const { code, stderr } = await run([file], { EXECUTOR_OCI_RUNTIME: "/nowhere/crun" });
    expect(code, stderr).toBe(125);
    expect(stderr).toMatch(/^error: .*\/nowhere\/crun/m);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("wrong usage of `airlock run`", () => {
  const withSecrets = { steps: [{ image: "host", run: "true", secrets: ["TOKEN", { name: "KEY", file: true }] }] };

  it.each([
    [withSecrets, [], {}, "the job uses the secrets TOKEN, KEY"],
    [withSecrets, ["--secret", "TOKEN"], { TOKEN: "x" }, "the job uses the secret KEY"],
    [withSecrets, ["--secret", "TOKEN", "--secret", "KEY"], { TOKEN: "x" }, "the environment has no variable KEY"],
    [withSecrets, ["--secret", "OTHER"], { OTHER: "x" }, "no step of the job uses this secret"],
    [
      { repository: "app", revision: "no-such", steps: [{ image: "host", run: "true" }] },
      [],
      {},
      'no commit "no-such"',
    ],
    [{ steps: [{ image: "host", run: "true" }] }, ["--repo", "/"], {}, "is not in a git checkout"],
    [{ steps: [{ image: "host", run: "true" }] }, ["--artifacts", "/dev/null/x"], {}, "--artifacts /dev/null/x"],
    [{ upload: true, steps: [{ image: "host", run: "true" }] }, [], {}, "needs an instance"],
    [{ steps: [] }, [], {}, "a job must have at least one step"],
  ])("%j with %j exits with 2 before anything runs", async (job, args, env, message) => {
    const context = testContext({ cwd: "/", env: { PATH: process.env.PATH, ...env } });
    await runCommandLine(["run", await jobFile(job), ...args], context);
    expect([context.exitCode, context.printed.stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
