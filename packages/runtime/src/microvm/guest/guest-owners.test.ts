import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GuestAgent } from "./guest-agent.ts";
import type { GuestStep } from "./step-spec.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);
const user = (uid: number, gid = uid): Partial<GuestStep> => ({ uid, gid });

/** Who owns the workspace and the job's files. The same as in the `oci` runtime. */
describe.skipIf(process.geteuid?.() !== 0)("the owner of files in the guest", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal);
  const run = (agent: GuestAgent, script: string, changes: Partial<GuestStep>) =>
    runCollected(agent, shell(script, changes), signal);
  const owners = async (agent: GuestAgent, changes: Partial<GuestStep>) => {
    const script = "stat -c '%n %u:%g' . * deep/* | tr '\\n' ','";
    return (await run(agent, script, changes)).stdout.slice(0, -1).split(",");
  };
  const put = (agent: GuestAgent, place: "workspace" | "job-files" | "step-files", path: string, mode: number) =>
    agent.putFile(
      { place, path: Buffer.from(path), mode, modifiedAt: undefined, content: Buffer.from(`${path}\n`) },
      signal,
    );

  it("is the step's user for the whole workspace, one user after another", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await put(agent, "workspace", "deep/host", 0o600);
    expect(await run(agent, "mkdir -m 700 root; echo root > root/file; chmod 600 root/file", user(0))).toMatchObject({
      status: { exitCode: 0 },
    });
    const second =
      "cat deep/host root/file; echo more >> root/file; mkdir -m 700 own; ln -s /bin own/link; echo own > own/file";
    expect(await run(agent, second, user(1000, 1001))).toEqual({
      status: { kind: "exited", exitCode: 0 },
      stdout: "deep/host\nroot\n",
      stderr: "",
    });
    const all = (owner: string) => [".", "deep", "own", "root", "deep/host"].map((name) => `${name} ${owner}`);
    expect(await owners(agent, user(1000, 1001))).toEqual(all("1000:1001"));
    // Directories that only a step may enter take further files of the host.
    await put(agent, "workspace", "own/host", 0o644);
    const third = "cat root/file own/host; stat -c %u:%g own/link own/file root/file own/host";
    // Without capabilities, root can read only what belongs to it.
    expect((await run(agent, third, { ...user(0), capabilities: [] })).stdout).toBe(
      `root\nmore\nown/host\n${"0:0\n".repeat(4)}`,
    );
    expect(await owners(agent, user(0))).toEqual(all("0:0"));
    const fourth = await run(agent, "rm -r own/file root && cat own/host && echo last > deep/last", user(1234));
    expect(fourth).toMatchObject({ status: { exitCode: 0 }, stdout: "own/host\n", stderr: "" });
    expect((await run(agent, "stat -c %u:%g deep/last own", user(2 ** 32 - 2))).stdout).toBe(
      "4294967294:4294967294\n".repeat(2),
    );
    expect((await run(agent, "stat -c %u:%g deep/last own", user(1, 0))).stdout).toBe("1:0\n".repeat(2));
  });

  it("is the next user also for what root of a step gave to others, at any depth", async () => {
    await using booted = await boot();
    const { agent } = booted;
    const script = `mkdir mine other; echo a > mine/a; echo b > other/b; chmod 600 */*; chmod 700 mine other; ln -s /bin/sh mine/link
      chown -h 1000:1000 mine mine/a mine/link; chown 7:8 other other/b; i=0
      while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done; echo deep > f; chown 9:9 f . ..; chmod 600 f`;
    expect(await run(agent, script, user(0))).toMatchObject({ status: { exitCode: 0 }, stderr: "" });
    // The same user finds what it has made.
    expect((await run(agent, "stat -c %u:%g mine mine/a mine/link other other/b", user(0))).stdout).toBe(
      "1000:1000\n1000:1000\n1000:1000\n7:8\n7:8\n",
    );
    const down = "i=0; while [ $i -lt 1500 ]; do cd d; i=$((i+1)); done; cat f; echo more >> f; stat -c %u:%g f .";
    const next = await run(
      agent,
      `stat -c %u:%g mine mine/a mine/link other other/b; echo more >> mine/a; cat other/b; ${down}`,
      user(1000, 1001),
    );
    expect(next).toEqual({
      status: { kind: "exited", exitCode: 0 },
      stdout: `${"1000:1001\n".repeat(5)}b\ndeep\n1000:1001\n1000:1001\n`,
      stderr: "",
    });
    const last = await run(agent, "stat -c %u:%g mine/a mine/link other/b; cat mine/a", user(0));
    expect(last.stdout).toBe("0:0\n0:0\n0:0\na\nmore\n");
  });

  it("is mapped without leaving the step a descriptor", async () => {
    await using booted = await boot();
    for (const id of [0, 1000])
      expect((await run(booted.agent, "ls /proc/self/fd", user(id))).stdout).toBe("0\n1\n2\n3\n");
  });

  it("is the next user for what a step gave to another of its groups", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await run(agent, "echo a > a; chgrp 50 a; stat -c %u:%g a", { ...user(1000), groups: [50] }).then(({ stdout }) =>
      expect(stdout).toBe("1000:50\n"),
    );
    expect((await run(agent, "stat -c %u:%g a", user(50))).stdout).toBe("50:50\n");
  });

  it("is the step's user for files that root gave away in a step that was killed", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await run(agent, "true", user(1000));
    const abort = new AbortController();
    const running = runCollected(
      agent,
      shell("echo a > a; chown 1000 a; echo done > /data/done; sleep 100"),
      abort.signal,
    );
    const read = () => agent.readFile(Buffer.from("done"), { signal, maximumBytes: 9 });
    await expect.poll(async () => (await read())?.toString(), { timeout: 10_000 }).toBe("done\n");
    abort.abort(new Error("canceled"));
    await expect(running).rejects.toThrow("canceled");
    expect((await run(agent, "stat -c %u:%g a", user(1000))).stdout).toBe("1000:1000\n");
  });

  it("has no effect on programs with the setuid bit", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await run(agent, "cat /bin/busybox > b; chmod 4755 b", user(0));
    const changes = { ...user(1000), noNewPrivileges: false };
    expect((await run(agent, "ln -s b id; ./id -u; stat -c '%a %u' b", changes)).stdout).toMatch(/^1000\n\d+ 1000\n$/);
    await run(agent, "cat /bin/busybox > c; chmod 4755 c", changes);
    expect((await run(agent, "ln -s c cid; rm id; ln -s c id; ./id -u; id -u", user(1234))).stdout).toBe(
      "1234\n1234\n",
    );
  });

  it("is the step's user for the job's files, whatever their modes", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await put(agent, "job-files", "secrets/job", 0o600);
    await put(agent, "job-files", "run", 0o755);
    for (const [uid, gid] of [
      [1000, 1001],
      [0, 0],
      [1234, 5],
    ] as const) {
      await put(agent, "step-files", "secrets/step", 0o400);
      const script =
        "cd /airlock; cat secrets/job secrets/step; stat -c '%a %u:%g' . secrets run secrets/job secrets/step";
      expect(await run(agent, script, { ...user(uid, gid), capabilities: [] })).toMatchObject({
        stdout: `secrets/job\nsecrets/step\n${[755, 755, 755, 600, 400].map((mode) => `${mode} ${uid}:${gid}\n`).join("")}`,
        stderr: "",
      });
      await agent.clearStepFiles(signal);
    }
  });

  it("is the step's user for a missing working directory", async () => {
    await using booted = await boot();
    const script = "pwd; stat -c '%a %u:%g' . ..";
    const step = (id: number) => run(booted.agent, script, { ...user(id), workingDirectory: "/data/a/b" });
    for (const id of [0, 1000, 0])
      expect((await step(id)).stdout).toBe(`/data/a/b\n755 ${id}:${id}\n755 ${id}:${id}\n`);
  });
});
