import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeFrame } from "./frames.ts";
import { GuestAgent, methods } from "./guest-agent.ts";
import type { CallOptions } from "./guest-call.ts";
import { GuestConnection } from "./guest-connection.ts";
import { runGuestStep } from "./run-guest-step.ts";
import { encodeStep, type GuestStep } from "./step-spec.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);
const mebibyte = 2 ** 20;

const limits = { entries: 10, bytes: 1e6 };

describe.skipIf(process.geteuid?.() !== 0)("the guest agent as process 1 of namespaces", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal);
  const run = (agent: GuestAgent, what: GuestStep) => runCollected(agent, what, signal);

  it("runs a step and keeps stdout and stderr apart", async () => {
    await using booted = await boot();
    const result = await run(booted.agent, shell("echo out; echo err >&2; exit 3"));
    expect(result).toEqual({ status: { kind: "exited", exitCode: 3 }, stdout: "out\n", stderr: "err\n" });
  });

  it("gives a step its own root, users, network, host name and files", async () => {
    await using booted = await boot();
    const { agent } = booted;
    const file = { mode: 0o755, modifiedAt: undefined };
    const hello = Buffer.from("#!/bin/sh\necho from $1\n");
    await agent.putFile({ ...file, place: "job-files", path: Buffer.from("job"), content: hello }, signal);
    await agent.putFile({ ...file, place: "step-files", path: Buffer.from("a/step"), content: hello }, signal);
    const script = `/bin/sh /airlock/job one; /airlock/a/step two; id -u; id -g; hostname; pwd; ls /sys/class/net
      ls /proc | grep -c '^[0-9]'; echo x > /airlock/job || echo read-only; mount -t tmpfs none /tmp || echo no mount
      echo 1 > /proc/sys/kernel/panic || echo no sysctl; ls /run; grep NoNewPrivs: /proc/self/status; echo "$WORD"`;
    const result = await run(
      agent,
      shell(script, { uid: 1000, gid: 1001, env: { PATH: "/bin", WORD: "é" }, workingDirectory: "/data/sub/dir" }),
    );
    const lines = result.stdout.trim().split("\n");
    expect(lines.slice(0, 7)).toEqual(["from one", "from two", "1000", "1001", "sandbox", "/data/sub/dir", "lo"]);
    expect(lines.slice(-5)).toEqual(["read-only", "no mount", "no sysctl", "NoNewPrivs:\t1", "é"]);
    await agent.clearStepFiles(signal);
    const next = await run(agent, shell("ls /airlock"));
    expect(next.stdout).toBe("job\n");
  });

  it("gives root of a step only its capabilities, in a user namespace", async () => {
    await using booted = await boot();
    const { stdout } = await run(
      booted.agent,
      shell("grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status; echo 1 > /proc/sys/kernel/panic"),
    );
    expect(stdout.match(/000000000000000b/g)).toHaveLength(3);
  });

  it("protects the first process of a step from root of the step", async () => {
    await using booted = await boot();
    const script = `for n in 1 9 11 15 19; do kill -$n 1; done; readlink /proc/1/fd/3 && echo listed; cat /proc/1/environ && echo read
      ls -l /proc/1/root/run && echo entered; echo fake > /proc/1/fd/3 && echo wrote; echo alive; exit 5`;
    for (const uid of [0, 1000]) {
      const { status, stdout } = await run(booted.agent, shell(script, { uid, gid: uid }));
      expect({ status, stdout }).toEqual({ status: { kind: "exited", exitCode: 5 }, stdout: "alive\n" });
    }
  });

  it("follows no link of an image when it mounts", async () => {
    await using booted = await boot();
    await booted.agent.mountImage(1, "erofs", signal);
    const script =
      "for d in proc sys dev data airlock; do [ -L /$d ] && echo link $d; done; echo x > /data/x; ls /proc/1/stat";
    const { stdout } = await run(booted.agent, shell(script, { image: 1 }));
    expect(stdout).toBe("/proc/1/stat\n");
    expect(
      Array.from((await booted.agent.list(Buffer.alloc(0), limits, signal)) ?? [], ({ name }) => name.toString()),
    ).toEqual(["x"]);
  });

  it("starts every step with the image's own root", async () => {
    await using booted = await boot();
    await run(booted.agent, shell("echo changed > /bin/new; echo kept > /data/kept"));
    const { stdout } = await run(booted.agent, shell("ls /bin/new; cat /data/kept"));
    expect(stdout).toBe("kept\n");
  });

  it("removes what a step wrote to the disk outside its workspace, however deep", async () => {
    await using booted = await boot();
    const before = await booted.agent.stats(signal);
    const script = `head -c 8000000 /dev/zero > /bin/big; ln -s / /bin/link; cd /bin; i=0
      while [ $i -lt 300 ]; do mkdir d; : > f; cd d; i=$((i+1)); done; echo done`;
    const first = await run(booted.agent, shell(script, { upperBytes: null }));
    expect(first).toMatchObject({ status: { exitCode: 0 }, stdout: "done\n" });
    const { freeDiskBytes } = await booted.agent.stats(signal);
    expect(before.freeDiskBytes - freeDiskBytes).toBeLessThan(100_000);
    const second = await run(booted.agent, shell("ls -d /bin/big /bin/d; echo kept", { upperBytes: null }));
    expect(second.stdout).toBe("kept\n");
    const { stdout } = await run(booted.agent, shell("ls -A /data", { upperBytes: null }));
    expect(stdout).toBe("");
  });

  it("ends a canceled step before what it wrote outside its workspace is removed", async () => {
    await using booted = await boot();
    const { agent } = booted;
    const before = await agent.stats(signal);
    const script =
      "i=0; while [ $i -lt 6000 ]; do : > /bin/f$i; i=$((i+1)); done; head -c 8000000 /dev/zero > /bin/big";
    const order: string[] = [];
    const cancel = new AbortController();
    let channel = 0;
    let canceling: Promise<unknown> | undefined;
    const cancelWhileRemoving = async () => {
      // Since the step has ended, the agent finds no step to signal.
      for (let reached: number | null = 0; reached !== null; ) {
        reached = await agent.signalStep(channel, 15, signal).catch(() => null);
      }
      cancel.abort(new Error("canceled"));
      await agent.stats(signal);
      order.push("stats");
    };
    const options: CallOptions = {
      signal: cancel.signal,
      stallMs: 10_000,
      mayBeSilent: true,
      streams: 2,
      upload: (async function* () {
        yield encodeStep(shell(script, { upperBytes: null }));
      })(),
      onStarted: (number) => {
        channel = number;
      },
      onExited: () => {
        canceling = cancelWhileRemoving();
      },
    };
    await agent.connection.call(Buffer.of(methods.run), options).catch(() => order.push("step"));
    await canceling;
    expect(order).toEqual(["step", "stats"]);
    // The next step finds nothing of it, and the space comes back.
    const next = await run(agent, shell("ls -d /bin/big; echo kept", { upperBytes: null }));
    expect(next.stdout).toBe("kept\n");
    await expect
      .poll(async () => before.freeDiskBytes - (await agent.stats(signal)).freeDiskBytes, { timeout: 20_000 })
      .toBeLessThan(1_000_000);
  });

  it("reports a signal that ended a step as a shell does", async () => {
    await using booted = await boot();
    const { status } = await run(booted.agent, shell("kill -SEGV $$"));
    expect(status).toEqual({ kind: "exited", exitCode: 139 });
  });

  it("kills silent daemons after the end of the script", async () => {
    await using booted = await boot();
    const startedAt = performance.now();
    const { status } = await run(booted.agent, shell("sleep 1000 & echo started; exit 4"));
    expect(status).toEqual({ kind: "exited", exitCode: 4 });
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(await booted.agent.countProcesses(signal)).toBe(0);
  });

  it("delivers what a process prints after the end of the script", async () => {
    await using booted = await boot();
    const { stdout } = await run(booted.agent, shell("(sleep 0.2; echo late) & exit 0"));
    expect(stdout).toBe("late\n");
  });

  it("ends an aborted step with SIGTERM and delivers what it prints then", async () => {
    await using booted = await boot();
    const abort = new AbortController();
    let printed = "";
    const running = runGuestStep(
      booted.agent,
      shell("trap 'echo bye; exit 1' TERM; echo ready; while :; do sleep 0.1; done"),
      {
        signal: abort.signal,
        output: (stream, bytes) => {
          if (stream === "stdout") printed += bytes.toString();
          if (printed === "ready\n") abort.abort(new Error("canceled"));
        },
      },
    );
    await expect(running).rejects.toThrow("canceled");
    expect(printed).toBe("ready\nbye\n");
    expect(await booted.agent.countProcesses(signal)).toBe(0);
  });

  it("throws the reason of an abort at any time", async () => {
    await using booted = await boot();
    for (let turns = 0; turns < 30; turns++) {
      const abort = new AbortController();
      const running = runGuestStep(booted.agent, shell("sleep 1000"), { signal: abort.signal, output: () => {} });
      for (let turn = 0; turn < turns; turn++) await setImmediate();
      abort.abort(new Error("canceled"));
      await expect(running).rejects.toThrow("canceled");
    }
    expect(await booted.agent.countProcesses(signal)).toBe(0);
  });

  it("stops the step instead of filling memory when its reader is slow", async () => {
    await using booted = await boot();
    const abort = new AbortController();
    let taken = 0;
    const release = Promise.withResolvers<void>();
    const running = runGuestStep(booted.agent, shell("yes"), {
      signal: abort.signal,
      output: async (_stream, bytes) => {
        taken += bytes.length;
        await release.promise;
      },
    });
    // Other calls are answered meanwhile.
    for (let i = 0; i < 20; i++) await booted.agent.stats(signal);
    expect(taken).toBeLessThanOrEqual(65_536);
    abort.abort(new Error("enough"));
    release.resolve();
    await expect(running).rejects.toThrow("enough");
  });

  it("transfers 20 MB of output without loss", async () => {
    await using booted = await boot();
    let bytes = 0;
    const status = await runGuestStep(booted.agent, shell("head -c 20000000 /dev/zero"), {
      signal,
      output: (_stream, piece) => {
        bytes += piece.length;
      },
    });
    expect({ status, bytes }).toEqual({ status: { kind: "exited", exitCode: 0 }, bytes: 20_000_000 });
  });

  it("runs a step without the workspace before it is mounted, and leaves nothing of it for later ones", async () => {
    await using guest = parts.start();
    const agent = await GuestAgent.connect(guest.stream, { signal, seed: randomBytes(32), time: new Date() });
    await agent.mountImage(0, "erofs", signal);
    await expect(run(agent, shell("true"))).rejects.toThrow("the workspace is not mounted");
    const alone = (script: string) => shell(script, { withoutWorkspace: true, workingDirectory: "/" });
    await expect(run(agent, { ...alone("true"), upperBytes: null })).rejects.toThrow("the workspace is not mounted");
    expect((await run(agent, alone("echo one >/file; ls /file"))).stdout).toBe("/file\n");
    await agent.mountWorkspace(null, 64 * mebibyte, signal);
    expect((await run(agent, shell("ls /data /file; echo secret >/data/secret"))).stdout).toBe("/data:\n");
    expect((await run(agent, alone("ls /data; cat /data/secret"))).stdout).toBe("");
  });

  it("says why a step can't start", async () => {
    await using booted = await boot();
    const missing = { ...shell("true"), argv: ["/bin/missing"] as const };
    await expect(run(booted.agent, missing)).rejects.toMatchObject({ code: "not-executable", errno: 2 });
    await expect(run(booted.agent, { ...shell("true"), image: 7 })).rejects.toThrow("the step's image is not mounted");
    await expect(run(booted.agent, { ...shell("true"), memoryBytes: mebibyte })).rejects.toThrow(
      "cgroup limits need a kernel",
    );
    const filter = Buffer.from([6, 0, 0, 0, 0, 0, 0, 0, 1]);
    await expect(run(booted.agent, { ...shell("true"), seccompFilter: filter })).rejects.toThrow("the seccomp filter");
  });

  it("enforces the host's seccomp filter and resource limits", async () => {
    await using booted = await boot();
    // Loads the number of the call; mkdir (83 on x86-64) fails with EPERM, everything else is allowed.
    const program = [
      [0x20, 0, 0, 0],
      [0x15, 0, 1, process.arch === "x64" ? 83 : 34],
      [0x06, 0, 0, 0x50001],
      [0x06, 0, 0, 0x7fff0000],
    ] as const;
    const seccompFilter = Buffer.concat(
      program.map(([code, ifTrue, ifFalse, value]) => {
        const instruction = Buffer.alloc(8);
        instruction.writeUInt16LE(code, 0);
        instruction.writeUInt8(ifTrue, 2);
        instruction.writeUInt8(ifFalse, 3);
        instruction.writeUInt32LE(value, 4);
        return instruction;
      }),
    );
    const limits = [{ resource: 7, soft: 77n, hard: 99n }];
    const result = await run(booted.agent, shell("mkdir /data/new; ulimit -n; ulimit -Hn", { seccompFilter, limits }));
    expect(result.stdout).toBe("77\n99\n");
    expect(result.stderr).toContain("Operation not permitted");
  });

  it("runs nothing after it was told to stop", async () => {
    await using booted = await boot();
    const running = run(booted.agent, shell("sleep 1000"));
    await booted.agent.countProcesses(signal);
    await booted.agent.stop(signal);
    expect((await running).status).toEqual({ kind: "exited", exitCode: 137 });
    await expect(run(booted.agent, shell("true"))).rejects.toThrow("told to stop");
    expect(await booted.agent.list(Buffer.alloc(0), limits, signal)).toHaveLength(0);
  });

  it("powers off", async () => {
    await using booted = await boot();
    await booted.agent.powerOff(signal);
    expect((await booted.guest.ended).code).toBe(0);
    await expect(booted.agent.stats(signal)).rejects.toMatchObject({ reason: "runtime" });
  });

  it("ends when the host closes the stream", async () => {
    await using booted = await boot();
    booted.agent[Symbol.dispose]();
    expect(await booted.guest.ended).toMatchObject({ console: "airlock-agent: the host has closed the stream\n" });
  });

  it("refuses everything before the seed and the clock", async () => {
    await using guest = parts.start();
    using connection = new GuestConnection(guest.stream);
    await connection.greet(signal);
    const call = (payload: Buffer) => connection.call(payload, { signal, stallMs: 10_000 });
    await expect(call(Buffer.of(methods.clock, ...Buffer.alloc(12)))).rejects.toMatchObject({ code: "not-ready" });
    await call(Buffer.concat([Buffer.of(methods.seed), randomBytes(32)]));
    await expect(call(Buffer.of(methods.stats))).rejects.toMatchObject({ code: "not-ready" });
  });

  it("ends at once when the host speaks another version", async () => {
    await using guest = parts.start();
    guest.stream.write(encodeFrame({ type: "hello", channel: 0, payload: Buffer.from("AIRLOCK\0\0\x02") }));
    expect(await guest.ended).toMatchObject({ console: "airlock-agent: the host speaks another version\n" });
  });
});
