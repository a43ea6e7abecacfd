import { availableParallelism, totalmem } from "node:os";
import path from "node:path";
import { AirlockError } from "@airlock/job";
import { InstanceClient } from "../instance/instance-client.ts";
import { ChildProgram } from "./child-program.ts";
import { writeConnectionFile } from "./connection-file.ts";
import type { LogLine } from "./describe-log-line.ts";
import { executorEnvironment, instanceEnvironment } from "./program-environments.ts";
import { waitForInstance } from "./wait-for-instance.ts";

export interface DevSessionOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly listen: string;
  /** Absolute. */
  readonly dataDirectory: string;
  /** What goes on; safe text. */
  readonly progress: (text: string) => void;
  /** Warnings and errors of the programs. */
  readonly onWarning: (program: string, line: LogLine) => void;
  /** Told when the executor has ended in order, as after a drain. The instance goes on. */
  readonly onExecutorLeft: () => void;
  /** Given up when aborted: what had started is stopped, and `start` rejects with the reason. */
  readonly signal: AbortSignal;
}

const executorGraceMs = 15_000;
const instanceGraceMs = 20_000;

/** An instance and one executor, each its own process. Disposing stops the executor, then the instance. */
export class DevSession implements AsyncDisposable {
  readonly client: InstanceClient;
  /** Of the web UI, with the token that lets one in. */
  readonly loginUrl: string;
  /** Rejects when one of the programs ends by itself; never resolves. */
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

  /** @throws {AirlockError} `program-ended` with its last lines when one of the programs does not start. */
  static async start(options: DevSessionOptions): Promise<DevSession> {
    const { env, dataDirectory, signal } = options;
    await using stack = new AsyncDisposableStack();
    const logDirectory = path.join(dataDirectory, "logs");
    const startProgram = async (name: "instance" | "executor", environment: NodeJS.ProcessEnv, graceMs: number) => {
      const program = await ChildProgram.start({
        name,
        args: name === "executor" ? ["run"] : [],
        env: environment,
        logDirectory,
        graceMs,
        onLine: (line) => {
          // Bare text is no record of the log; where it tells of an end, it is shown with it.
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

    options.progress("starting the executor …");
    const machine = { cores: availableParallelism(), memoryBytes: totalmem() };
    const executor = await startProgram(
      "executor",
      executorEnvironment(env, { url: access.url, password: access.executorToken, dataDirectory, machine }),
      executorGraceMs,
    );
    instance.outlive(executor);
    signal.throwIfAborted();
    const failure = Promise.race([instanceEnded, unlessInOrder(executor, options.onExecutorLeft)]);
    // Whoever starts a session races this with other things, at times with nothing: then it is no unhandled rejection.
    failure.catch(() => undefined);
    const client = new InstanceClient({ url: new URL(access.url), token: access.token, source: connectionFile });
    return new DevSession(client, failure, [instance, executor], stack.move());
  }

  /** Ends everything at once, for those who press Ctrl-C twice. */
  kill(): void {
    for (const program of this.#programs) program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Rejects when the program fails. An end in order is told, and is no failure. */
async function unlessInOrder(program: ChildProgram, onLeft: () => void): Promise<never> {
  const { code } = await program.exited;
  if (code !== 0) return endOf(program);
  onLeft();
  return new Promise<never>(() => {});
}

async function endOf(program: ChildProgram): Promise<never> {
  const { code, signal } = await program.exited;
  const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
  const [first = "", ...rest] = program.lastLines;
  const more = rest.map((line) => `\n  ${line.trim()}`).join("");
  // A program that ends for a reason says it with its name before it.
  const [, reason] = /^(?:airlock|executor): (.+)$/.exec(first) ?? [];
  const lines = reason === undefined ? `${how}${first && `; its last lines:\n  ${first}`}` : reason;
  throw new AirlockError(`the ${program.name} ${reason === undefined ? "" : "ended: "}${lines}${more}`, {
    code: "program-ended",
    hint: `Its log is ${program.logFile}${signal && program.name === "executor" ? "; the next start removes the sandboxes that it left" : ""}`,
  });
}
