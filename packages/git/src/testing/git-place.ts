import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { type GitSettings, gitEnvironment } from "../git-environment.ts";

const searchPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

export interface GitRun {
  /** `null`: it was killed after the timeout. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HardenedOptions {
  /** Directory to run git in, relative to the place. Default: `repository`. */
  readonly cwd?: string;
  readonly input?: string;
  readonly settings?: GitSettings;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** A command to which git's command line is appended. */
  readonly inside?: readonly string[];
}

/** The directory of one test with a repository, and git with all or some of the defences. */
export class GitPlace {
  readonly directory: string;
  readonly home: string;
  readonly marker: string;
  readonly #off: ReadonlySet<string>;

  private constructor(directory: string, off: readonly string[]) {
    this.directory = directory;
    this.home = path.join(directory, "home");
    this.marker = path.join(directory, "marker");
    this.#off = new Set(off);
  }

  /** @param off settings and variables to leave out of git's environment. */
  static async make(directory: string, off: readonly string[]): Promise<GitPlace> {
    const place = new GitPlace(directory, off);
    await mkdir(place.home, { recursive: true });
    await place.init("repository");
    return place;
  }

  isOff(name: string): boolean {
    return this.#off.has(name);
  }

  path(...names: readonly string[]): string {
    return path.join(this.directory, ...names);
  }

  /** Whether the program written by {@link attacker} has run. */
  get hasMarker(): boolean {
    return existsSync(this.marker);
  }

  /** Writes a program that creates the marker when it runs. */
  async attacker(name: string): Promise<string> {
    const file = this.path(name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, `#!/bin/sh\ntouch '${this.marker}'\necho answer\n`);
    await chmod(file, 0o755);
    return file;
  }

  async write(name: string, content: string): Promise<string> {
    await mkdir(path.dirname(this.path(name)), { recursive: true });
    await writeFile(this.path(name), content);
    return this.path(name);
  }

  /** Creates a repository with one file, `file`, in one commit on `main`. */
  async init(name: string): Promise<void> {
    await this.plain([], "init", "--quiet", "--initial-branch=main", this.path(name));
    await this.write(`${name}/file`, `content of ${name}\n`);
    await this.commit(name, "one");
  }

  async commit(name: string, message: string): Promise<void> {
    await this.plain([name], "add", "--all");
    await this.plain([name], "commit", "--quiet", "--message", message);
  }

  /** Runs git without defences, as an attacker does, in a directory of the place. */
  async plain([cwd = "."]: readonly string[], ...args: readonly string[]): Promise<string> {
    return await this.plainWith(cwd, "", ...args);
  }

  async plainWith(cwd: string, input: string | Buffer, ...args: readonly string[]): Promise<string> {
    const identity = { NAME: "A", EMAIL: "a@example.com", DATE: "2026-01-01T00:00:00Z" };
    const env = Object.fromEntries(
      Object.entries(identity).flatMap(([key, value]) => [
        [`GIT_AUTHOR_${key}`, value],
        [`GIT_COMMITTER_${key}`, value],
      ]),
    );
    const ended = await run(["git", "-c", "protocol.file.allow=always", ...args], {
      cwd: this.path(cwd),
      env: { PATH: searchPath, HOME: "/nonexistent", GIT_CONFIG_NOSYSTEM: "1", ...env },
      input,
    });
    if (ended.exitCode !== 0) throw new Error(`git ${args.join(" ")}: ${ended.stderr}`);
    return ended.stdout.trimEnd();
  }

  /** Runs git with the environment of instance and executor, except for the defences that are off. */
  async hardened(args: readonly string[], options: HardenedOptions = {}): Promise<GitRun> {
    const { cwd = "repository", input = "", settings, env, timeoutMs, inside = [] } = options;
    const whole = gitEnvironment({ path: searchPath, home: this.home, ...(settings ? { settings } : {}) });
    return await run([...inside, "git", ...args], {
      cwd: this.path(cwd),
      env: { ...without(whole, this.#off), ...env },
      input,
      ...(timeoutMs ? { timeoutMs } : {}),
    });
  }
}

/** The settings and variables of an environment, by name. */
export function defencesOf(environment: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const defences = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) {
    if (!/^GIT_CONFIG_(?:COUNT|KEY_|VALUE_)/.test(name)) defences.set(name, value);
  }
  for (let index = 0; index < Number(environment.GIT_CONFIG_COUNT); index += 1) {
    defences.set(environment[`GIT_CONFIG_KEY_${index}`] ?? "", environment[`GIT_CONFIG_VALUE_${index}`] ?? "");
  }
  return defences;
}

function without(environment: Record<string, string>, off: ReadonlySet<string>): Record<string, string> {
  const left: Record<string, string> = {};
  let count = 0;
  for (const [name, value] of defencesOf(environment)) {
    if (off.has(name)) continue;
    if (name.includes(".")) {
      left[`GIT_CONFIG_KEY_${count}`] = name;
      left[`GIT_CONFIG_VALUE_${count}`] = value;
      count += 1;
    } else left[name] = value;
  }
  return { ...left, GIT_CONFIG_COUNT: String(count) };
}

async function run(
  [program = "", ...args]: readonly string[],
  options: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
    readonly input: string | Buffer;
    readonly timeoutMs?: number;
  },
): Promise<GitRun> {
  const { cwd, env, input, timeoutMs } = options;
  // Detached, so that it has no terminal, like a service. Otherwise git would prompt there.
  const child = spawn(program, args, { cwd, env, detached: true, stdio: "pipe" });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const timer = timeoutMs && setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), timeoutMs);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  try {
    const [exitCode, stdout, stderr] = await Promise.all([ended, buffer(child.stdout), buffer(child.stderr)]);
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  } finally {
    if (timer) clearTimeout(timer);
  }
}
