import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { outputOf } from "@airlock/process";
import { buildGuestFiles, copyGuestFiles } from "@airlock/runtime/microvm";
import { asUser, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { guestDir } from "../cli/runtime-dir.ts";
import { ScriptedInstance, testSecret } from "../testing/scripted-instance.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));
/** Kept across runs, because the guest's kernel has to be downloaded. */
const guestCache = fileURLToPath(new URL("../../../../node_modules/.cache/airlock-guest/", import.meta.url));
const machineMs = 120_000;
/** An administrator's shell without the settings of `executor run`. */
const withoutInstance = {
  env: { EXECUTOR_FRONTEND_URL: "", EXECUTOR_FRONTEND_PASSWORD: "", EXECUTOR_QUEUE_NAME: "" },
} as const;
/** The shell's prompt. busybox asks for the position of the cursor behind it. */
const prompt = /test-vm:\/data# \S*$/;

describeWithEngines(["microvm"], "executor test-vm", () => {
  let stack: AsyncDisposableStack;
  let instance: ScriptedInstance;
  let dir: string;
  let dataDir: string;
  let commit: string;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory("vm-")).path;
    dataDir = join(dir, "executor");
    await chmod(dir, 0o755);
    await buildGuestFiles({ directory: guestCache, signal: AbortSignal.timeout(machineMs) });
    instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
    await copyGuestFiles(guestCache, guestDir(dataDir));
    const files = [{ path: "a.txt", content: "from the checkout\n" }];
    commit = (await makeRepository(join(dir, "served", "app"), [{ message: "one", files }])).head;
  }, machineMs);

  afterAll(async () => {
    const left = (await execute(["list"], withoutInstance)).out.trim();
    for (const name of left === "" ? [] : left.split("\n")) await execute(["end", name], withoutInstance);
    await stack.disposeAsync();
  }, machineMs);

  /** Runs the program. With `typed` it runs in a terminal, in which each text is typed after the output matches. */
  async function execute(
    args: readonly string[],
    {
      typed,
      wrap = (command) => command,
      env = {},
    }: {
      readonly typed?: readonly (readonly [after: RegExp, keys: string])[];
      readonly wrap?: (command: readonly string[]) => readonly string[];
      readonly env?: Readonly<Record<string, string>>;
    } = {},
  ) {
    const command = wrap([process.execPath, main, "test-vm", ...args]);
    const shown = command.map((word) => `'${word}'`).join(" ");
    const [program = "", ...rest] = typed
      ? ["script", "-qefc", `stty rows 31 cols 97; exec ${shown}`, "/dev/null"]
      : command;
    const child = spawn(program, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH ?? "",
        SHELL: "/bin/sh",
        EXECUTOR_FRONTEND_URL: instance.url,
        EXECUTOR_FRONTEND_PASSWORD: testSecret,
        EXECUTOR_QUEUE_NAME: "default",
        EXECUTOR_DATA_DIR: dataDir,
        EXECUTOR_QEMU: engines().microvm?.qemuPath ?? "",
        EXECUTOR_JOB_MEMORY: "64Mi",
        EXECUTOR_JOB_NUM_CPUS: "1",
        EXECUTOR_JOB_DISK: "64Mi",
        EXECUTOR_DEFAULT_EGRESS: "none",
        EXECUTOR_VM_ACCELERATOR: "tcg",
        EXECUTOR_VM_PREFIX: "probe",
        ...env,
      },
    });
    let out = "";
    let errors = "";
    const left = [...(typed ?? [])];
    child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString();
      const [next] = left;
      if (!next?.[0].test(out)) return;
      left.shift();
      child.stdin.write(next[1]);
    });
    child.stderr.on("data", (bytes: Buffer) => {
      errors += bytes.toString();
    });
    const [exitCode] = await once(child, "close");
    return { out, errors, exitCode };
  }

  const machines = async () => {
    const processes = await outputOf(["ps", "-eo", "args"]);
    return [...processes.matchAll(/^\S*qemu-system\S* .*guest=(probe-test-vm-\w+)/gm)].map(([, name]) => name);
  };
  const nothingIsLeft = async () => {
    expect(await machines()).toEqual([]);
    expect(await readdir(join(dataDir, "test-vms"))).toEqual([]);
    const owners = await readdir(join(dataDir, "runtime/microvm/vms"));
    const kept = await Promise.all(owners.map((owner) => readdir(join(dataDir, "runtime/microvm/vms", owner))));
    expect(kept.flat()).toEqual([]);
  };

  it(
    "names what is missing: root, and the files of guests",
    async () => {
      const files = await execute(["--name-only"], { env: { EXECUTOR_DATA_DIR: join(dir, "empty") } });
      expect(files).toMatchObject({ out: "", exitCode: 1 });
      expect(files.errors).toMatch(/has no files for the guests[\s\S]*executor install microvm/);
      const command = await asUser(1000, dir, [process.execPath, main, "test-vm", "--name-only"]);
      const user = await execute([], { wrap: () => command });
      expect([user.errors, user.exitCode]).toEqual([expect.stringContaining("needs root"), 1]);
    },
    machineMs,
  );

  it(
    "names an unknown repository and an unknown revision, and leaves nothing behind",
    async () => {
      const repository = await execute(["--name-only", "--repo", "missing"]);
      expect([repository.out, repository.exitCode]).toEqual(["", 1]);
      expect(repository.errors).toMatch(/repository .*not found|returned error: 404/);
      const revision = await execute(["--name-only", "--repo", "app", "--revision", "no-such-branch"]);
      expect(revision.errors).toContain('the repository has no branch or tag "no-such-branch"');
      expect([revision.out, revision.exitCode]).toEqual(["", 1]);
      instance.intervene = ({ path }) => (path.includes("/git/") ? { status: 403, body: "no" } : undefined);
      const refused = await execute(["--name-only", "--repo", "app", "--revision", commit]);
      instance.intervene = () => undefined;
      expect(refused.errors).toMatch(/does not give the repository[\s\S]*--repo https:/);
      expect(await readdir(join(dataDir, "test-vms"))).toEqual([]);
    },
    machineMs,
  );

  it(
    "leaves a machine with a checkout that terminals can attach to, until it is ended",
    async () => {
      const { out, errors, exitCode } = await execute(["--name-only", "--repo", "app", "--revision", "main"]);
      expect([exitCode, errors]).toEqual([0, expect.stringContaining("setup.git.checkout")]);
      const name = out.trim();
      expect(name).toMatch(/^probe-test-vm-[0-9a-f]{8}$/);
      expect(await machines()).toEqual([name]);
      expect((await execute(["list"], withoutInstance)).out).toBe(`${name}\n`);

      const terminal = await execute(["attach", name], {
        typed: [
          [prompt, "stty size; cat a.txt; touch made\r"],
          [/from the checkout\s.*# \S*$/s, "exit 255\r"],
        ],
      });
      expect(terminal.out).toMatch(/31 97\s+from the checkout\s/);
      expect(terminal.out).toContain(`${name} keeps running`);
      expect(terminal.exitCode).toBe(255);
      const again = await execute(["attach", name], {
        typed: [
          [prompt, "echo *\r"],
          [/a\.txt made\s.*# \S*$/s, "\x1d"],
        ],
      });
      expect([again.exitCode, again.out]).toEqual([0, expect.stringContaining("a.txt made")]);
      const piped = await execute(["attach", name]);
      expect(piped.errors).toContain("attach needs a terminal");

      expect((await execute(["end", name], withoutInstance)).out).toBe(`${name} has ended\n`);
      await nothingIsLeft();
      const gone = await execute(["end", name], withoutInstance);
      expect([gone.exitCode, gone.errors]).toEqual([1, expect.stringContaining(`there is no test machine "${name}"`)]);
    },
    3 * machineMs,
  );

  it(
    "attaches its terminal, and the machine ends with the shell",
    async () => {
      const { out, exitCode } = await execute([], {
        typed: [
          [prompt, "id -u; uname -r\r"],
          [/cloud-amd64\s.*# \S*$/s, "exit 7\r"],
        ],
      });
      expect([exitCode, out]).toEqual([7, expect.stringMatching(/\s0\s.*-cloud-amd64\s/s)]);
      expect(out).toMatch(/probe-test-vm-\w+ has ended/);
      await nothingIsLeft();
    },
    machineMs,
  );

  it(
    "ends the machine when its time is over",
    async () => {
      const { out } = await execute(["--name-only", "--keep", "1s"]);
      expect(out).toMatch(/^probe-test-vm-/);
      await vi.waitFor(nothingIsLeft, { timeout: 30_000, interval: 200 });
    },
    machineMs,
  );
});
