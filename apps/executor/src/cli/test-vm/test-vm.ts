import { fork } from "node:child_process";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { duplexPair } from "node:stream";
import { AirlockError, errorMessage } from "@airlock/job";
import { z } from "zod";
import type { Config } from "../../config/options.ts";
import { listTestVms, socketOf } from "../../janitor/test-vm-place.ts";
import { attachTerminal } from "./attach-terminal.ts";
import { type HolderRequest, holdTestVm } from "./hold-test-vm.ts";
import { type OpenRuntime, openTestVm, type TestVmRequest } from "./open-test-vm.ts";
import { requireTestVm } from "./require-test-vm.ts";
import { testVmError } from "./test-vm-error.ts";
import { untilSignal } from "./until-signal.ts";

export interface TestVmOptions extends TestVmRequest {
  /** Whether the machine stays, and only its name is printed. */
  readonly nameOnly: boolean;
  /** How long a machine that stays may run. */
  readonly keepMs: number;
}

interface Printer {
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
}

export interface TestVmContext extends Printer {
  readonly config: Config;
  readonly openRuntime: OpenRuntime;
}

/** The machines that were left running. */
export interface HeldTestVms extends Printer {
  readonly dataDir: string;
}

/** A command for the process that holds a machine. It does not appear in any help. */
export const holdCommand = "hold-test-vm";

/**
 * Boots a machine, and attaches this terminal to it. Without a terminal the machine stays, in another process. Resolves
 * to the exit code of the terminal's shell, or 0.
 */
export async function testVm(options: TestVmOptions, context: TestVmContext): Promise<number> {
  const { stdin, stdout } = process;
  if (options.nameOnly || !stdin.isTTY || !stdout.isTTY) return await leaveTestVm(options, context);
  const { config, openRuntime, error } = context;
  return await untilSignal(async (signal) => {
    await using vm = await openTestVm({ config, openRuntime, request: options, print: error, signal });
    error(`${vm.name} is running. Its workspace is /data. Leave with exit or Ctrl-]; the machine ends then.`);
    const [mine, theirs] = duplexPair();
    const session = vm.sessions.run(theirs, { ...vm, signal });
    const exitCode = await attachTerminal(mine, { stdin, stdout, signal });
    await session;
    error(`${vm.name} has ended.`);
    return exitCode ?? 0;
  });
}

const HolderMessage = z.union([
  z.strictObject({ line: z.string() }),
  z.strictObject({ name: z.string() }),
  z.strictObject({ problem: z.string(), hint: z.string().optional() }),
]);
type HolderMessage = z.infer<typeof HolderMessage>;

/** Starts the process that holds the machine, and waits until the machine runs. */
async function leaveTestVm(options: TestVmOptions, { out, error }: TestVmContext): Promise<number> {
  const [, script = ""] = process.argv;
  const holder = fork(script, [holdCommand, JSON.stringify(options)], {
    detached: true,
    stdio: "ignore",
    serialization: "json",
  });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  holder.on("message", (message) => {
    const told = HolderMessage.parse(message);
    if ("line" in told) error(told.line);
    else if ("name" in told) resolve(told.name);
    else reject(new AirlockError(told.problem, { code: "test-vm", ...(told.hint ? { hint: told.hint } : {}) }));
  });
  holder.once("error", reject);
  holder.once("exit", (code, by) => reject(new Error(`the machine's process ended with ${code ?? by}`)));
  try {
    // When this process is stopped, the holder loses it and gives up.
    const name = await untilSignal((signal) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      return promise;
    });
    out(name);
    if (!options.nameOnly) {
      error(`Attach a terminal:  executor test-vm attach ${name}`);
      error(`End the machine:    executor test-vm end ${name}`);
    }
    return 0;
  } finally {
    if (holder.connected) holder.disconnect();
    holder.unref();
  }
}

const HoldOptions = z.strictObject({
  repository: z.string().nullable(),
  revision: z.string(),
  image: z.string().nullable(),
  nameOnly: z.boolean(),
  keepMs: z.number(),
});

/** Reads what {@link leaveTestVm} passes on. */
export function parseHoldOptions(text: string): TestVmOptions {
  return HoldOptions.parse(JSON.parse(text));
}

/** The process that {@link leaveTestVm} starts. */
export async function holdTestVmProcess(
  options: TestVmOptions,
  { config, openRuntime }: Pick<TestVmContext, "config" | "openRuntime">,
): Promise<number> {
  const tell = (message: HolderMessage) =>
    new Promise<void>((resolve) => {
      if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
      else resolve();
    });
  try {
    await untilSignal(async (stopped) => {
      const lost = new AbortController();
      const lose = () => lost.abort(new Error("the command that started the machine has ended"));
      process.once("disconnect", lose);
      const signal = AbortSignal.any([stopped, lost.signal]);
      const print = (line: string) => void tell({ line });
      await using vm = await openTestVm({ config, openRuntime, request: options, print, signal });
      await using held = await holdTestVm(vm, { keepMs: options.keepMs, signal: stopped });
      signal.throwIfAborted();
      process.off("disconnect", lose);
      await tell({ name: vm.name });
      await held.ended;
    });
    return 0;
  } catch (error) {
    const hint = error instanceof AirlockError ? error.hint : undefined;
    await tell({ problem: errorMessage(error), ...(hint === undefined ? {} : { hint }) });
    return 1;
  }
}

/** Attaches this terminal to a machine that was left running. */
export async function attachTestVm(name: string, { dataDir, error }: HeldTestVms): Promise<number> {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) {
    throw testVmError("attach needs a terminal", "Run it in a terminal, not in a pipe; with ssh, use ssh -t.");
  }
  const socket = await request(dataDir, name, "attach");
  const exitCode = await untilSignal((signal) => attachTerminal(socket, { stdin, stdout, signal }));
  error(`${name} keeps running. End it: executor test-vm end ${name}`);
  return exitCode ?? 0;
}

/** Ends a machine that was left running. */
export async function endTestVm(name: string, { dataDir, out }: HeldTestVms): Promise<number> {
  const socket = await request(dataDir, name, "end");
  socket.resume();
  await Promise.race([once(socket, "end"), once(socket, "close")]);
  // The connection closes before everything is removed.
  while ((await listTestVms(dataDir)).includes(name)) await new Promise((resolve) => setTimeout(resolve, 100));
  out(`${name} has ended`);
  return 0;
}

/** Prints the names of machines that were left running. */
export async function printTestVms({ dataDir, out }: HeldTestVms): Promise<number> {
  for (const name of await listTestVms(dataDir)) out(name);
  return 0;
}

async function request(dataDir: string, name: string, what: HolderRequest): Promise<Socket> {
  const dir = await requireTestVm(dataDir, name);
  const socket = createConnection({ path: socketOf(dir), allowHalfOpen: true });
  try {
    await once(socket, "connect");
  } catch (cause) {
    const hint = "It may be starting, or be attached to its first terminal. If not, end its process.";
    throw testVmError(`the test machine ${name} does not answer`, hint, cause);
  }
  socket.on("error", () => {});
  socket.write(`${what}\n`);
  return socket;
}
