import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";

/** The repository's directory. */
export const root = path.dirname(path.dirname(import.meta.dirname));

/** One of Airlock's programs that can be killed and restarted. Its output goes to a file. */
export class Program implements AsyncDisposable {
  readonly #script: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: FileHandle;
  #child: ChildProcess | null = null;

  private constructor(script: string, env: NodeJS.ProcessEnv, log: FileHandle) {
    this.#script = script;
    this.#env = env;
    this.#log = log;
  }

  /** `script` is relative to the repository. The environment is exactly `env` and PATH. */
  static async start(script: string, env: Readonly<Record<string, string>>, logPath: string): Promise<Program> {
    const log = await open(logPath, "a", 0o600);
    const program = new Program(script, { PATH: process.env.PATH, ...env }, log);
    program.start();
    return program;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  start(): void {
    if (this.running) return;
    this.#child = spawn(process.execPath, [path.join(root, this.#script)], {
      env: this.#env,
      stdio: ["ignore", this.#log.fd, this.#log.fd],
    });
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (!child || !this.running) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGTERM");
    await this.#log.close();
  }
}
