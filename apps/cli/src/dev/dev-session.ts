import { availableParallelism, totalmem } from "node:os";
import path from "node:path";
import { AirlockError } from "@airlock/job";
import { InstanceClient } from "../instance/instance-client.ts";
import { ChildProgram } from "./child-program.ts";
import { writeConnectionFile } from "./connection-file.ts";
import type { LogLine } from "./describe-log-line.ts";
import { createDevExecutorToken, queueOfExecutorToken } from "./dev-executor-token.ts";
import { executorEnvironment, instanceEnvironment } from "./program-environments.ts";
import { waitForInstance } from "./wait-for-instance.ts";

export interface DevSessionOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly listen: string;
  /** Absolute path. */
  readonly dataDirectory: string;
  /** Called with the current activity, as safe text. */
  readonly progress: (text: string) => void;
  /** Called with warnings and errors of the programs. */
  readonly onWarning: (program: string, line: LogLine) => void;
  /** Called when the executor ended with exit code 0, e.g. after a drain. The instance keeps running. */
  readonly onExecutorLeft: () => void;
  /** Aborting it stops what has been started so far, and `start` rejects with the reason. */
  readonly signal: AbortSignal;
}

const executorGraceMs = 15_000;
const instanceGraceMs = 20_000;

/** An instance and one executor, each in its own process. Disposing stops the executor, then the instance. */
export class DevSession implements AsyncDisposable {
  readonly client: InstanceClient;
  /** URL of the web UI, with the token that signs one in. */
  readonly loginUrl: string;
  /** Rejects when one of the programs ends unexpectedly; never resolves. */
  readonly failure: Promise<never>;
  readonly #programs: readonly ChildProgram[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    client: InstanceClient,
    failure: Promise<never>,
    programs: readonly ChildProgram[],
    stack: AsyncDisposableStack,
  ) {
    this.client = client;
    this.loginUrl = `${new URL("login", client.connection.url)}#token=${client.connection.token}`;
    this.failure = failure;
    this.#programs = programs;
    this.#stack = stack;
  }

  /** @throws {AirlockError} `program-ended`, with the program's last lines, if one of the programs does not start. */
  static async start(options: DevSessionOptions): Promise<DevSession> {
    const { env, dataDirectory, signal } = options;
    await using stack = new AsyncDisposableStack();
    const queue = queueOfExecutorToken(env);
    const logDirectory = path.join(dataDirectory, "logs");
    const startProgram = async (name: "instance" | "executor", environment: NodeJS.ProcessEnv, graceMs: number) => {
      const program = await ChildProgram.start({
        name,
        args: name === "executor" ? ["run"] : [],
        env: environment,
        logDirectory,
        graceMs,
        onLine: (line) => {
          // Lines that are not log records appear only in the message about the program's end.
          if (line.level === "warning" || line.level === "error") options.onWarning(name, line);
        },
      });
      stack.use(program);
      return program;
    };

    options.progress("starting the instance and its database …");
    const instance = await startProgram("instance", instanceEnvironment(env, options), instanceGraceMs);
    const instanceEnded = endOf(instance);
    const access = await Promise.race([
      waitForInstance({ dataDirectory, pid: instance.pid, env, signal }),
      instanceEnded,
    ]);
    const connectionFile = path.join(dataDirectory, "connection.json");
    stack.use(await writeConnectionFile(connectionFile, { url: access.url, token: access.token }));

    const client = new InstanceClient({ url: new URL(access.url), token: access.token, source: connectionFile });
    const password = queue === undefined ? access.executorToken : await createDevExecutorToken(client, queue, signal);

    options.progress("starting the executor …");
    const machine = { cores: availableParallelism(), memoryBytes: totalmem(), isRoot: process.geteuid?.() === 0 };
    const executor = await startProgram(
      "executor",
      executorEnvironment(env, { url: access.url, password, queue, dataDirectory, machine }),
      executorGraceMs,
    );
    instance.outlive(executor);
    signal.throwIfAborted();
    const failure = Promise.race([instanceEnded, unlessInOrder(executor, options.onExecutorLeft)]);
    // The caller may not be waiting for this promise at all times. Prevent an unhandled rejection.
    failure.catch(() => undefined);
    return new DevSession(client, failure, [instance, executor], stack.move());
  }

  /** Kills both programs immediately, when Ctrl-C is pressed twice. */
  kill(): void {
    for (const program of this.#programs) program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Rejects when the program fails. If it ends with exit code 0, calls `onLeft` and stays pending. */
async function unlessInOrder(program: ChildProgram, onLeft: () => void): Promise<never> {
  const { code } = await program.exited;
  if (code !== 0) return endOf(program);
  onLeft();
  return new Promise<never>(() => {});
}

async function endOf(program: ChildProgram): Promise<never> {
  const { code, signal } = await program.exited;
  const how = signal ? `was killed by ${signal}` : `exited with code ${code}`;
  const [first = "", ...rest] = program.lastLines;
  const more = rest.map((line) => `\n  ${line.trim()}`).join("");
  // Programs print the reason for their end after their name.
  const [, reason] = /^(?:airlock|executor): (.+)$/.exec(first) ?? [];
  const lines = reason === undefined ? `${how}${first && `; its last lines:\n  ${first}`}` : reason;
  throw new AirlockError(`the ${program.name} ${reason === undefined ? "" : "ended: "}${lines}${more}`, {
    code: "program-ended",
    hint: `See its log, ${program.logFile}${signal && program.name === "executor" ? ". The next start removes the sandboxes that it left behind." : ""}`,
  });
}
