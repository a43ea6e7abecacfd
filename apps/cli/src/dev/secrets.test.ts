import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { describeWithEngines, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";

const main = path.resolve(import.meta.dirname, "../main.ts");
const random = () => randomBytes(12).toString("hex");
const sha256 = (value: string) => createHash("sha256").update(value).digest("hex");

describeWithEngines(["oci"], "secrets on the way from the command line to a step", () => {
  const everybodys = `token-${random()}`;
  const teams = `team-${random()}`;
  const key = `-----BEGIN KEY-----\n${random()}\n${random()}\n-----END KEY-----\n`;
  const values = [everybodys, teams, ...key.split("\n").filter((line) => /^[0-9a-f]+$/.test(line))];
  let directory: TemporaryDirectory;
  let data: string;
  let dev: ChildProcess;
  let programLogs = "";
  const environment: NodeJS.ProcessEnv = {};

  beforeAll(async () => {
    directory = await temporaryDirectory();
    data = path.join(directory.path, ".airlock");
    for (const [name, value] of Object.entries(process.env)) {
      if (!/^(?:AIRLOCK_|EXECUTOR_|NODE_|VITEST)/.test(name)) environment[name] = value;
    }
    environment.EXECUTOR_RUNTIME = "oci";
    // The jobs of these tests need no network. Without one they can't reach this machine's network either.
    environment.EXECUTOR_DEFAULT_EGRESS = "none";
    dev = spawn(process.execPath, [main, "dev", "--listen", "127.0.0.1:0"], {
      cwd: directory.path,
      env: { ...environment, AIRLOCK_LOG_LEVEL: "trace", EXECUTOR_LOG_LEVEL: "debug", SRC_LOG_LEVEL: "dbug" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [dev.stdout, dev.stderr]) stream?.on("data", (bytes) => (programLogs += bytes));
    while (!programLogs.includes("Ctrl-C stops")) {
      if (dev.exitCode !== null) throw new Error(`airlock dev ended:\n${programLogs}`);
      await delay(50);
    }
    expect((await airlock(["secret", "set", "TOKEN"], everybodys)).code).toBe(0);
    expect((await airlock(["secret", "set", "TOKEN", "--namespace", "team"], teams)).code).toBe(0);
    await writeFile(path.join(directory.path, "key.pem"), key);
    expect((await airlock(["secret", "set", "KEY", "--from-file", "key.pem"])).code).toBe(0);
    await writeFile(path.join(directory.path, "key.pem"), "");
  });
  afterAll(async () => {
    if (dev?.exitCode === null) {
      dev.kill("SIGINT");
      await once(dev, "close");
    }
    await directory?.[Symbol.asyncDispose]();
  });

  async function airlock(args: readonly string[], stdin = "") {
    const child = spawn(process.execPath, [main, ...args], { cwd: directory.path, env: environment });
    child.stdin.end(stdin);
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    return { code: code as number | null, stdout, output: stdout + stderr };
  }

  async function submit(job: object) {
    await writeFile(path.join(directory.path, "job.json"), JSON.stringify(job));
    const ended = await airlock(["job", "submit", "-f", "job.json", "--follow"]);
    const { stdout } = await airlock(["job", "list", "--limit", "1", "--json"]);
    return { ...ended, id: (JSON.parse(stdout) as { jobs: { id: number }[] }).jobs[0]?.id };
  }

  // The script must not contain the value that it searches for, so it gets the value in two halves.
  const halves = (value: string) => `a=${value.slice(0, 9)}; b=${value.slice(9)}`;
  const look = [
    halves(everybodys),
    'env | grep -q "$a$b" && echo "env"',
    'grep -rqs "$a$b" /proc/[0-9]*/environ && echo "environment of a process"',
    'grep -rqs "$a$b" /airlock /data /tmp /run && echo "file"',
    "ls /airlock/secrets 2>/dev/null && echo directory",
    "env | grep -E '^(TOKEN|KEY)' && echo variable",
    "echo looked",
  ].join("\n");

  it("reach only the steps that name them, and never appear in the log", async () => {
    const steps = [
      { key: "before", image: "host", run: look },
      {
        key: "with",
        image: "host",
        secrets: ["TOKEN", { name: "KEY", file: true }],
        run: [
          'printf %s "$TOKEN" | sha256sum',
          'sha256sum < "$KEY_FILE"',
          'echo "token: $TOKEN"',
          'cat "$KEY_FILE"',
          'printf %s "$TOKEN" | base64',
          '(echo x >> "$KEY_FILE") 2>/dev/null && echo changed',
          '(rm -f "$KEY_FILE") 2>/dev/null && echo removed',
          "sleep 300 >/dev/null 2>&1 & true",
        ].join("\n"),
      },
      { key: "after", image: "host", run: look },
    ];
    const { code, stdout, output } = await submit({ steps });
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(stdout.match(/looked/g)).toHaveLength(2);
    expect(stdout).not.toMatch(/^(env|environment of a process|file|directory|variable|changed|removed)$/m);
    expect(stdout).toContain(sha256(everybodys));
    expect(stdout).toContain(sha256(key));
    expect(stdout).toContain(`token: \${{ secrets.TOKEN }}`);
    for (const value of [...values, Buffer.from(everybodys).toString("base64")]) expect(output).not.toContain(value);
  });

  it("of the job's namespace take precedence", async () => {
    const run = 'printf %s "$TOKEN" | sha256sum';
    const { stdout } = await submit({ namespace: "team", steps: [{ image: "host", run, secrets: ["TOKEN"] }] });
    expect(stdout).toContain(sha256(teams));
  });

  it("are not in the message of a step whose failing command contains one", async () => {
    const { id, code } = await submit({ steps: [{ image: "host", run: 'cd "/$TOKEN"', secrets: ["TOKEN"] }] });
    expect(code).not.toBe(0);
    const shown = (await airlock(["job", "show", String(id), "--json"])).stdout;
    expect(shown).toContain("step-failed");
    expect(shown).not.toContain(everybodys);
  });

  it("leave an audit log of who did what", async () => {
    const { stdout } = await airlock(["secret", "audit", "--json"]);
    const { events } = JSON.parse(stdout) as { events: Record<string, unknown>[] };
    expect(events.map(({ action, name, namespace, step }) => [action, name, namespace, step])).toEqual([
      ["used", "TOKEN", null, "0"],
      ["used", "TOKEN", "team", "0"],
      ["used", "KEY", null, "with"],
      ["used", "TOKEN", null, "with"],
      ["created", "KEY", null, null],
      ["created", "TOKEN", "team", null],
      ["created", "TOKEN", null, null],
    ]);
    for (const value of values) expect(stdout).not.toContain(value);
  });

  it("are in no file of the instance, database or executor, and in none of their logs", async () => {
    // Stop everything so that the database writes its memory to disk.
    dev.kill("SIGINT");
    await once(dev, "close");
    const files = await readdir(data, { recursive: true, withFileTypes: true });
    let read = 0;
    for (const file of files.filter((entry) => entry.isFile())) {
      const bytes = await readFile(path.join(file.parentPath, file.name));
      read += 1;
      for (const value of values) expect(bytes.includes(value), `${file.parentPath}/${file.name}`).toBe(false);
    }
    // The count shows that the database's files were among them.
    expect(read).toBeGreaterThan(500);
    for (const value of values) expect(programLogs).not.toContain(value);
  });
});
