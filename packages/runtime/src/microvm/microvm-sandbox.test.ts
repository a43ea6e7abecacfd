import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { SandboxPlan, SandboxStep, WorkspaceFile } from "../contract/index.ts";
import { defaultHardening } from "../isolation/hardening.ts";
import { GuestAgent } from "./guest/guest-agent.ts";
import { guestStepFilter } from "./guest/seccomp/guest-step-filter.ts";
import { type GuestParts, makeGuestParts } from "./guest/testing/namespace-guest.ts";
import { MicrovmSandbox } from "./microvm-sandbox.ts";
import type { VmEnd } from "./monitor/vm-monitor.ts";

const mebibyte = 2 ** 20;
const never = new AbortController().signal;
const whole = { start: null, advance: () => null, maximumEntries: 100, maximumDepth: 10, signal: never };

const plan: SandboxPlan = {
  id: "job-1-1",
  owner: "executor-1",
  workspace: { checkout: null, files: [], readOnlyFiles: [] },
  limits: { cpus: 1, memoryBytes: 256 * mebibyte, pids: 100, diskBytes: 64 * mebibyte },
  egress: { kind: "none" },
};

const script = (text: string, changes: Partial<SandboxStep> = {}): SandboxStep => ({
  key: "step.docker.main",
  image: "first",
  files: [{ path: "script", content: text, executable: true }],
  script: "/airlock/script",
  workingDirectory: "/data",
  env: {},
  ...changes,
});

/** The agent runs in namespaces of this machine, where its cgroup limits can't be set. */
const withoutLimits = { cpus: 0, memoryBytes: 0, pids: 0 };

describe("the sandbox of a virtual machine, with the agent in namespaces", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  }, 120_000);
  afterAll(() => parts?.[Symbol.asyncDispose]());

  async function open(changes: { readonly imageSlots?: readonly number[]; readonly stallMs?: number } = {}) {
    const guest = parts.start();
    const agent = await GuestAgent.connect(guest.stream, {
      signal: never,
      seed: randomBytes(32),
      time: new Date(),
      stallMs: changes.stallMs ?? 10_000,
    });
    await agent.mountWorkspace(null, 64 * mebibyte, never);
    const attached: string[] = [];
    const released: string[] = [];
    const ended = guest.ended.then(({ code, console }): VmEnd => ({ exitCode: code, console, cause: null }));
    const sandbox = new MicrovmSandbox({
      plan,
      vm: {
        stream: guest.stream,
        ended,
        attachImage: async (slot, path) => void attached.push(`${slot} ${path}`),
        pause: () => Promise.reject(new Error("no pauses here")),
        resume: () => Promise.reject(new Error("no pauses here")),
        snapshot: () => Promise.reject(new Error("no snapshots here")),
        [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose](),
      },
      agent,
      imageSlots: changes.imageSlots ?? [0, 1],
      notes: [],
      openImage: async (image) => ({
        path: `/disks/${image}`,
        type: "ext4",
        user: { uid: 0, gid: 0, additionalGids: [], home: "/root" },
        env: ["FROM_IMAGE=yes"],
      }),
      hardening: { ...defaultHardening },
      processLimits: { maxOpenFiles: 1024, pendingSignals: 100, messageQueueBytes: 0 },
      limits: withoutLimits,
      resolvConf: "",
      seccompFilter: guestStepFilter({ cpu: "x64", allowListed: true }),
      startup: null,
      cpuMs: () => 1500,
      traffic: () => undefined,
      reportDenied: async () => {},
      release: async () => void released.push("released"),
    });
    onTestFinished(() => sandbox[Symbol.asyncDispose]());
    return { sandbox, attached, released, guest };
  }

  async function run(sandbox: MicrovmSandbox, step: SandboxStep, signal = never) {
    let printed = "";
    const output = (_stream: string, bytes: Buffer) => {
      printed += bytes.toString();
    };
    const status = await sandbox.runStep(step, { signal, output });
    return { status, printed };
  }

  it("runs steps with the image's variables, their own files and one workspace", async () => {
    const { sandbox, attached } = await open();
    await sandbox.prepareImage("first", { signal: never, progress: () => {} });
    const one = await run(sandbox, script("echo $FROM_IMAGE $SAID $HOME > note; ls /airlock", { env: { SAID: "so" } }));
    const other = await run(
      sandbox,
      script("cat note; exit 7", {
        files: [{ path: "other", content: "cat note; ls /airlock; exit 7", executable: true }],
        script: "/airlock/other",
      }),
    );
    expect([one, other]).toEqual([
      { status: { kind: "exited", exitCode: 0 }, printed: "script\n" },
      { status: { kind: "exited", exitCode: 7 }, printed: "yes so /root\nother\n" },
    ]);
    expect(attached).toEqual(["0 /disks/first"]);
  });

  it("runs steps of several images, and refuses more than it has slots for", async () => {
    const { sandbox, attached } = await open();
    const first = await run(sandbox, script("echo one"));
    const second = await run(sandbox, script("echo two", { image: "second" }));
    expect([first.printed, second.printed]).toEqual(["one\n", "two\n"]);
    expect(attached).toEqual(["0 /disks/first", "1 /disks/second"]);
    await expect(sandbox.prepareImage("third", { signal: never, progress: () => {} })).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining("more than 2 images"),
    });
    expect((await run(sandbox, script("echo again"))).printed).toBe("again\n");
  });

  it("removes a step's files even if the step was aborted", async () => {
    const { sandbox } = await open();
    const stop = new AbortController();
    const files = [
      { path: "script", content: "echo started; sleep 60", executable: true },
      { path: "secret", content: "hunter2", executable: false },
    ];
    const running = sandbox.runStep(script("", { files }), {
      signal: stop.signal,
      output: () => stop.abort(new Error("enough")),
    });
    await expect(running).rejects.toThrow("enough");
    expect((await run(sandbox, script("ls /airlock"))).printed).toBe("script\n");
  });

  it("gives back what the job left, also after it was stopped", async () => {
    const { sandbox } = await open();
    const files: WorkspaceFile[] = [{ path: "a/b", content: Buffer.from("before"), modifiedAt: undefined }];
    await sandbox.putFiles(files, { signal: never });
    await run(sandbox, script("echo more >> a/b; ln -s /etc/passwd link"));
    await sandbox.removeFile("nothing/here", { signal: never });
    await sandbox.stop({ signal: never });
    expect((await sandbox.readFile("a/b", { signal: never, maximumBytes: 100 }))?.toString()).toBe("beforemore\n");
    expect(await sandbox.readFile("link", { signal: never, maximumBytes: 100 })).toBeNull();
    expect(await sandbox.readFile("../a/b", { signal: never, maximumBytes: 100 })).toBeNull();
    await expect(sandbox.readFile("a/b", { signal: never, maximumBytes: 3 })).rejects.toMatchObject({
      code: "file-too-large",
    });
    const found: string[] = [];
    const everything = { ...whole, start: true, advance: () => true };
    for await (const entry of sandbox.walk("", everything)) found.push(`${entry.stats.kind} ${entry.path}`);
    expect(found).toEqual(["directory a", "file a/b", "link link"]);
    await expect(sandbox.runStep(script("true"), { signal: never, output: () => {} })).rejects.toMatchObject({
      code: "sandbox-misused",
    });
  });

  it.each([
    ["above the workspace", "../out", "not a path inside"],
    ["with an absolute path", "/etc/passwd", "not a path inside"],
    ["behind a link", "link/file", "something else"],
    ["in place of a directory", "folder", "something else"],
    ["with a long name", "n".repeat(256), "too long"],
  ])("refuses a file %s", async (_what, path, problem) => {
    const { sandbox } = await open();
    await run(sandbox, script("ln -s /tmp link; mkdir folder"));
    const put = sandbox.putFiles([{ path, content: Buffer.from("x"), modifiedAt: undefined }], { signal: never });
    await expect(put).rejects.toMatchObject({ reason: "checkout-invalid", message: expect.stringContaining(problem) });
  });

  it("says that the disk is full", async () => {
    const { sandbox } = await open();
    const { status } = await run(sandbox, script("dd if=/dev/zero of=large bs=1M count=100 2>/dev/null; exit 1"));
    expect(status).toMatchObject({ kind: "exited", exitCode: 1, causes: [expect.stringContaining("disk is full")] });
    const put = sandbox.putFiles([{ path: "x", content: randomBytes(mebibyte), modifiedAt: undefined }], {
      signal: never,
    });
    await expect(put).rejects.toMatchObject({
      reason: "checkout-invalid",
      message: expect.stringContaining("do not fit"),
    });
  });

  it("ends calls with the machine's own end, and names it", async () => {
    const { sandbox, guest, released } = await open();
    const running = sandbox.runStep(script("echo started; sleep 60"), {
      signal: never,
      output: () => void guest.process.kill("SIGKILL"),
    });
    await expect(running).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringContaining("the job's virtual machine ended"),
    });
    await expect(sandbox.stop({ signal: never })).rejects.toMatchObject({ reason: "runtime" });
    await sandbox[Symbol.asyncDispose]();
    expect(released).toEqual(["released"]);
  });

  it("ends a machine whose agent hangs when it is stopped", async () => {
    const { sandbox, guest } = await open({ stallMs: 200 });
    await run(sandbox, script("true"));
    const [agent = ""] = (
      await readFile(`/proc/${guest.process.pid}/task/${guest.process.pid}/children`, "utf8")
    ).split(" ");
    process.kill(Number(agent), "SIGSTOP");
    await expect(sandbox.stop({ signal: never })).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringMatching(/silent|virtual machine ended/),
    });
    expect(guest.process.signalCode).toBe("SIGKILL");
  });

  it("ends a running step when it is disposed, and lets the machine end first", async () => {
    const { sandbox, guest, released } = await open();
    let disposing: Promise<void> | undefined;
    const running = sandbox.runStep(script("echo started; sleep 60"), {
      signal: never,
      output: () => {
        disposing = sandbox[Symbol.asyncDispose]();
      },
    });
    await expect(running).rejects.toThrow("the sandbox is disposed");
    await disposing;
    expect([released, guest.process.signalCode]).toEqual([["released"], "SIGKILL"]);
  });
});
