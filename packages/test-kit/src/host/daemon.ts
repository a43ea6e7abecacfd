import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

export interface DaemonOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** File for stdout and stderr. */
  readonly logPath: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** How to ask the daemon to end: a signal, or the end of its stdin. */
  readonly stopBy?: NodeJS.Signals | "end-of-input";
}

/** A daemon of the test run. It has its own session, so that Ctrl-C in the terminal does not reach it directly. */
export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /**
   * Waits until `probe` resolves to something other than `undefined`.
   * @throws {Error} with the last line of the log when the daemon ends or is not ready in time.
   */
  ready<T>(probe: () => Promise<T | undefined>, timeoutMs?: number): Promise<T>;
  log(): Promise<string>;
}

const minimalEnv = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" };
const stopGraceMs = 15_000;

export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { command, args, logPath, stopBy = "SIGTERM" } = options;
  await using log = await open(logPath, "a", 0o600);
  const child = spawn(command, args, {
    detached: true,
    stdio: [stopBy === "end-of-input" ? "pipe" : "ignore", log.fd, log.fd],
    env: { ...minimalEnv, ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
  });
  // A daemon that died by itself breaks the pipe; `exited` reports its end.
  child.stdin?.on("error", () => {});
  const exited = once(child, "exit").then(() => true as const);
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  const failure = async (what: string) => new Error(`${command} ${what}: ${lastLine(await readFile(logPath, "utf8"))}`);

  return {
    pid,
    log: () => readFile(logPath, "utf8"),
    async ready(probe, timeoutMs = 30_000) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        if (ended()) throw await failure(`ended with ${child.exitCode ?? child.signalCode}`);
        const answer = await probe();
        if (answer !== undefined) return answer;
        if (Date.now() > deadline) throw await failure(`was not ready after ${timeoutMs} ms`);
        await sleep(20);
      }
    },
    async [Symbol.asyncDispose]() {
      if (ended()) return;
      if (stopBy === "end-of-input") child.stdin?.end();
      else child.kill(stopBy);
      const inTime = await Promise.race([exited, sleep(stopGraceMs, false, { ref: false })]);
      if (inTime) return;
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function lastLine(log: string): string {
  return log.trimEnd().split("\n").at(-1)?.slice(0, 400) || "its log is empty";
}
