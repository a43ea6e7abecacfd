import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { jobHeaders, type TestInstance } from "./test-instance.ts";

/** A job as an executor of the base protocol reads it. Such an executor ignores all other members. */
export interface ForeignJob {
  readonly id: number;
  readonly token: string;
  readonly dockerSteps: readonly {
    readonly key?: string;
    readonly image: string;
    readonly commands: readonly string[];
    readonly env: readonly string[];
  }[];
  readonly [member: string]: unknown;
}

/** How executors of one generation behave where generations differ. */
interface Generation {
  readonly request: object;
  readonly heartbeat: object;
  readonly preamble: string;
  readonly namesStepsByPosition: boolean;
  readonly usesJobTokens: boolean;
}

const generations = {
  /** 3.38: sends only its name, uses the shared secret for everything and names steps by their position. */
  2022: {
    request: {},
    heartbeat: {},
    preamble: "set -x\n",
    namesStepsByPosition: true,
    usesJobTokens: false,
  },
  /** 5.3: job tokens, step keys, and scripts that go on after a command that failed. */
  2024: {
    request: { version: "5.3.0", numCPUs: 4, memory: "12G", diskSpace: "20G" },
    heartbeat: {
      version: "V2",
      os: "linux",
      architecture: "amd64",
      executorVersion: "5.3.0",
      gitVersion: "2.43.0",
      dockerVersion: "24.0.5",
    },
    preamble: `if [ -z "\${1:-}" ]; then set -- "$(command -p -v bash || echo /bin/bash)"; exec "$1" "$0" marked; fi\nset +e\nset -x\n`,
    namesStepsByPosition: false,
    usesJobTokens: true,
  },
} satisfies Record<number, Generation>;

/**
 * An executor without Airlock's extensions. It runs each step's script on this machine instead of in a container, and
 * reports the way the original does: a failing step as `markErrored`, without a reason or an exit code.
 */
export class ForeignExecutor {
  readonly name: string;
  readonly #target: TestInstance;
  readonly #queue: string;
  readonly #generation: Generation;

  constructor(target: TestInstance, generation: keyof typeof generations, options: { name?: string; queue?: string }) {
    this.#target = target;
    this.#generation = generations[generation];
    this.name = options.name ?? `foreign-${generation}`;
    this.#queue = options.queue ?? "default";
  }

  /** Sends a heartbeat without jobs. */
  async connect(): Promise<void> {
    const body = { executorName: this.name, jobIds: null, prometheusMetrics: "", ...this.#generation.heartbeat };
    const response = await this.#target.executor(`queue/${this.#queue}/heartbeat`, body);
    if (response.status !== 200) throw new Error(`heartbeat answered ${response.status}: ${await response.text()}`);
  }

  /** Returns the next job; `undefined` if the instance has none for this executor. */
  async dequeue(): Promise<ForeignJob | undefined> {
    const body = { executorName: this.name, ...this.#generation.request };
    const response = await this.#target.executor(`queue/${this.#queue}/dequeue`, body);
    if (response.status === 204) return undefined;
    if (response.status !== 200) throw new Error(`dequeue answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as ForeignJob;
  }

  /** Runs the job's steps up to the first that fails, and reports the end. */
  async run(job: ForeignJob): Promise<void> {
    const directory = await mkdtemp(path.join(tmpdir(), "airlock-foreign-"));
    try {
      await this.log(job, "setup.git.init", 0);
      for (const [index, step] of job.dockerSteps.entries()) {
        const script = path.join(directory, `${job.id}.${index}_@.sh`);
        await writeFile(script, `${this.#generation.preamble}\n${step.commands.join("\n")}\n`);
        const name = this.#generation.namesStepsByPosition ? String(index) : (step.key ?? String(index));
        const exitCode = await this.#runScript(job, `step.docker.${name}`, script, directory);
        if (exitCode !== 0) return await this.errored(job, `failed to perform docker step: exit code ${exitCode}`);
      }
      await this.#mark(job, "markComplete", {});
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Writes a log entry that has ended. */
  async log(job: ForeignJob, key: string, exitCode: number, out = ""): Promise<void> {
    const entry = { key, command: ["sh"], startTime: new Date().toISOString() };
    const entryId = (await (await this.#write(job, "addExecutionLogEntry", entry)).json()) as number;
    await this.#write(job, "updateExecutionLogEntry", { ...entry, entryId, exitCode, durationMs: 1, out });
  }

  async errored(job: ForeignJob, errorMessage: string): Promise<void> {
    await this.#mark(job, "markErrored", { errorMessage });
  }

  async #runScript(job: ForeignJob, key: string, script: string, cwd: string): Promise<number> {
    const child = spawn("/bin/sh", [script], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    const closed = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      // Go reports -1 for a process that a signal ended.
      child.once("close", (code) => resolve(code ?? -1));
    });
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    const prefixed = (stream: string, output: string) => output.replace(/^(?=.)/gm, `${stream}: `);
    await this.log(job, key, exitCode, prefixed("stdout", stdout) + prefixed("stderr", stderr));
    return exitCode;
  }

  async #mark(job: ForeignJob, route: string, body: object): Promise<void> {
    await this.#write(job, route, body);
  }

  async #write(job: ForeignJob, route: string, body: object): Promise<Response> {
    const headers = this.#generation.usesJobTokens ? jobHeaders(job, this.name) : undefined;
    const sent = { executorName: this.name, jobId: job.id, ...body };
    const response = await this.#target.executor(`queue/${this.#queue}/${route}`, sent, headers);
    if (!response.ok) throw new Error(`${route} answered ${response.status}: ${await response.text()}`);
    return response;
  }
}
