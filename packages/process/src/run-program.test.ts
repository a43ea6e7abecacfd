import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { ProgramError, type ProgramFault } from "./program-error.ts";
import { outputOf, type RunOptions, runProgram } from "./run-program.ts";
import { systemEnvironment } from "./system-environment.ts";

const env = systemEnvironment;

function shell(script: string, options: Partial<RunOptions> = {}) {
  return runProgram(["sh", "-c", script], { env, ...options });
}

async function faultOf(promise: Promise<unknown>): Promise<ProgramError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ProgramError) return error;
  throw new Error("expected a ProgramError", { cause: error });
}

/** Collects the ids that a script prints as `pid N`, and calls back for each. */
function pids(onPid: (pid: number) => void): (bytes: Buffer) => void {
  return (bytes) => {
    for (const [, pid] of bytes.toString().matchAll(/pid (\d+)/g)) onPid(Number(pid));
  };
}

/** Waits until the process is gone or a zombie. */
async function isGone(pid: number): Promise<void> {
  for (;;) {
    const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    if (status === "" || /\) [ZX] /.test(status)) return;
    await sleep(10);
  }
}

describe("a program", () => {
  it("returns what it printed and how it ended", async () => {
    const result = await shell("echo out; echo err >&2; exit 3");
    expect(result).toEqual({ exitCode: 3, signal: null, stdout: "out\n", stderr: "err\n" });
  });

  it("returns the signal that ended it", async () => {
    expect(await shell("kill -USR1 $$")).toMatchObject({ exitCode: null, signal: "SIGUSR1" });
  });

  it("has only the environment that it is given, and nothing of this process", async () => {
    const { stdout } = await runProgram(["env"], { env: { PATH: "/usr/bin:/bin", A: "1" } });
    expect(stdout.trim().split("\n").sort()).toEqual(["A=1", "PATH=/usr/bin:/bin"]);
  });

  it("gets its arguments unchanged, without a shell", async () => {
    const text = "$(exit 1) `false` * ; 'quoted' \"too\"";
    expect(await outputOf(["printf", "%s", text], { env })).toBe(text);
  });

  it("runs in the given directory", async () => {
    expect(await outputOf(["pwd"], { env, cwd: "/usr" })).toBe("/usr\n");
  });

  it("reads the given input, which is empty by default", async () => {
    expect(await outputOf(["cat"], { env, stdin: "words" })).toBe("words");
    expect(await outputOf(["cat"], { env, stdin: Buffer.from([0x66, 0x6f]) })).toBe("fo");
    expect(await outputOf(["cat"], { env })).toBe("");
  });

  it("may end without reading its input", async () => {
    expect(await shell("exit 0", { stdin: "x".repeat(2 ** 22) })).toMatchObject({ exitCode: 0 });
  });

  it("has characters decoded correctly that arrive in two pieces", async () => {
    expect((await shell("printf '\\303'; sleep 0.05; printf '\\244'")).stdout).toBe("ä");
  });

  it("is the leader of its own process group", async () => {
    const stat = await outputOf(["cat", "/proc/self/stat"], { env });
    const [pid, , , , group] = stat.split(" ");
    expect(group).toBe(pid);
  });

  it("does not keep its caller waiting for a daemon that holds its output open", async () => {
    const startedAt = performance.now();
    const daemon = Promise.withResolvers<number>();
    await shell("sleep 30 & echo pid $!", { onStdout: pids(daemon.resolve) });
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    process.kill(await daemon.promise, "SIGKILL");
  });
});

describe("output", () => {
  it("goes to the callbacks as it arrives, and is not buffered as well", async () => {
    const seen: string[] = [];
    const result = await shell("echo out; echo err >&2", {
      maxStdoutBytes: 1,
      onStdout: (bytes) => seen.push(`out ${bytes.toString().trim()}`),
      onStderr: (bytes) => seen.push(`err ${bytes.toString().trim()}`),
    });
    expect(seen.sort()).toEqual(["err err", "out out"]);
    expect(result).toMatchObject({ stdout: "", stderr: "err\n" });
  });

  it("above its limit ends the program", async () => {
    const error = await faultOf(runProgram(["yes"], { env, maxStdoutBytes: 2 ** 20 }));
    expect(error).toMatchObject({ fault: "too-much-output", message: "yes printed more than 1 MiB" });
  });

  it("of exactly the limit is accepted", async () => {
    expect((await shell("printf 1234", { maxStdoutBytes: 4 })).stdout).toBe("1234");
  });

  it("on stderr is limited to its last part", async () => {
    const { stderr, exitCode } = await shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; printf the-end >&2");
    expect(exitCode).toBe(0);
    expect(stderr).toHaveLength(64 * 1024);
    expect(stderr.endsWith("xthe-end")).toBe(true);
  });

  it("whose callback throws ends the program with that error", async () => {
    const problem = new Error("not what I expected");
    const reader = () => {
      throw problem;
    };
    await expect(runProgram(["yes"], { env, onStdout: reader })).rejects.toBe(problem);
    await expect(shell("yes >&2", { onStderr: reader })).rejects.toBe(problem);
  });
});

describe("a program that is aborted", () => {
  it("is not started if the abort came first", async () => {
    const reason = new Error("canceled");
    await expect(shell("exit 0", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("can clean up on SIGTERM", async () => {
    const controller = new AbortController();
    let output = "";
    const run = shell("trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done", {
      signal: controller.signal,
      onStderr: () => {},
      onStdout: (bytes) => {
        output += bytes;
        if (output === "ready\n") controller.abort(new Error("canceled"));
      },
    });
    await expect(run).rejects.toThrow("canceled");
  });

  it("is killed after the grace period with every process that it started", async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const script = "trap '' TERM; sh -c 'echo pid $$; while :; do sleep 1; done' & echo pid $$; wait; wait";
    const run = shell(script, {
      signal: controller.signal,
      onStdout: pids((pid) => {
        seen.push(pid);
        if (seen.length === 2) controller.abort(new Error("canceled"));
      }),
    });
    await expect(run).rejects.toThrow("canceled");
    expect(seen).toHaveLength(2);
    await Promise.all(seen.map(isGone));
  });

  it("takes child processes along that closed their output and ignore SIGTERM", async () => {
    const controller = new AbortController();
    const child = Promise.withResolvers<number>();
    const script = "(trap '' TERM; exec sleep 300) >/dev/null 2>&1 & sleep 0.2; echo pid $!; wait";
    const run = shell(script, {
      signal: controller.signal,
      onStdout: pids((pid) => {
        child.resolve(pid);
        controller.abort(new Error("canceled"));
      }),
    });
    await expect(run).rejects.toThrow("canceled");
    await isGone(await child.promise);
  });

  it("ends even if a child process left its group and holds its output", async () => {
    const controller = new AbortController();
    const daemon = Promise.withResolvers<number>();
    const run = shell("setsid sh -c 'echo pid $$; exec sleep 300'; wait", {
      signal: controller.signal,
      onStdout: pids((pid) => {
        daemon.resolve(pid);
        controller.abort(new Error("canceled"));
      }),
    });
    await expect(run).rejects.toThrow("canceled");
    process.kill(await daemon.promise, "SIGKILL");
  });

  it("leaves no listener on the signal", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners += 1;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners -= 1;
      removeEventListener.apply(signal, args);
    };
    await shell("exit 0", { signal });
    await faultOf(runProgram(["/nonexistent/program"], { env, signal }));
    expect(listeners).toBe(0);
  });
});

describe("a program that can't be run or fails", () => {
  it.each<[ProgramFault, readonly string[], Partial<RunOptions>, string]>([
    ["not-found", ["airlock-no-such-program"], {}, "airlock-no-such-program is not installed, or not on PATH"],
    ["not-found", ["/nonexistent/program"], {}, "/nonexistent/program does not exist"],
    ["not-started", ["true"], { cwd: "/nonexistent" }, "cannot start true: /nonexistent does not exist"],
    ["not-started", ["/etc/passwd"], {}, "cannot start /etc/passwd: it is not a program that this user may run"],
    ["not-started", ["true", "x".repeat(2 ** 22)], {}, "true: its arguments and environment exceed the kernel's limit"],
    ["not-started", ["true", "s3cret\0"], {}, "cannot start true: an argument or a variable has a NUL character"],
    ["timed-out", ["sleep", "300"], { timeoutMs: 50 }, "sleep did not end within 50ms"],
    ["failed", ["sh", "-c", "echo why >&2; exit 2"], {}, "sh failed with exit code 2: why"],
    ["failed", ["sh", "-c", "kill -KILL $$"], {}, "sh was ended by SIGKILL"],
  ])("causes an error that says why: %s", async (fault, command, options, message) => {
    const error = await faultOf(outputOf(command, { env, ...options }));
    expect(error.fault).toBe(fault);
    expect(error.message).toContain(message);
    expect(inspect(error)).not.toContain("s3cret");
  });

  it("causes an error with its exit code and its stderr, but without its arguments", async () => {
    const error = await faultOf(outputOf(["sh", "-c", "echo why >&2; exit 2 # s3cret"], { env }));
    expect(error).toMatchObject({ exitCode: 2, signal: null, stderr: "why\n" });
    expect(inspect(error)).not.toContain("s3cret");
  });
});
