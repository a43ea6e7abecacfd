import { open } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { onAbort, startDeadline } from "@airlock/async";
import { formatDuration } from "@airlock/job";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { VmPlan } from "../vm-monitor.ts";
import { FirecrackerApi } from "./api-client.ts";
import type { Enclosure } from "./enclosure.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { listenForGuest } from "./guest-listener.ts";
import { files } from "./machine-requests.ts";
import { MonitorProcess } from "./monitor-process.ts";
import { openEnclosure } from "./open-enclosure.ts";

/** A machine whose agent has connected. Disposing ends it and removes all that it left. */
export interface StartedMachine extends AsyncDisposable {
  readonly enclosure: Enclosure;
  readonly process: MonitorProcess;
  readonly api: FirecrackerApi;
  readonly stream: Duplex;
}

export interface MachineStart extends Abortable {
  /** Puts the machine's files into the monitor's root. */
  share(enclosure: Enclosure): Promise<void>;
  /** Tells a monitor that was just started to run the machine. */
  start(api: FirecrackerApi, options: Abortable): Promise<void>;
}

/** How long the end of a process may take to become known after its API has failed. */
const endMs = 500;
/** Characters of the console in an error's message. */
const maxQuoted = 2000;

/** Starts a monitor and its machine, and waits until the guest's agent has connected. */
export async function startMachine(
  vm: VmPlan,
  options: FirecrackerOptions,
  { share, start, signal }: MachineStart,
): Promise<StartedMachine> {
  await using stack = new AsyncDisposableStack();
  const enclosure = stack.use(await openEnclosure(vm, options));
  await share(enclosure);
  // The kernel limits a socket's path to 107 bytes. This one is short, wherever the machine's directory is.
  const root = stack.use(await open(enclosure.root));
  const socketPath = (name: string) => `/proc/self/fd/${root.fd}/${name}`;
  const guest = stack.use(await listenForGuest(socketPath(files.agent), enclosure.user));
  signal.throwIfAborted();
  const process = stack.use(await MonitorProcess.start(enclosure, vm.network));
  const late = () => runtimeFailed(`its guest's agent did not connect within ${formatDuration(vm.bootMs)}`);
  using deadline = startDeadline(vm.bootMs, late, signal);
  try {
    const running = { signal: AbortSignal.any([deadline.signal, process.gone]) };
    const api = stack.use(await FirecrackerApi.open(socketPath(files.api), running));
    await start(api, running);
    const stream = await beforeAbort(guest.connection, running.signal);
    const held = stack.move();
    return { enclosure, process, api, stream, [Symbol.asyncDispose]: () => held.disposeAsync() };
  } catch (error) {
    signal.throwIfAborted();
    throw await explained(vm, process, error);
  }
}

/** The end of the process explains more than the request that failed because of it. */
async function explained(vm: VmPlan, process: MonitorProcess, error: unknown): Promise<Error> {
  using patience = startDeadline(endMs, () => new Error("the monitor still runs"));
  const end = await beforeAbort(process.ended, patience.signal).catch(() => null);
  const why = error instanceof Error ? error.message : String(error);
  const status = end?.exitCode === null || end === null ? "" : ` with exit code ${end.exitCode}`;
  const what = process.gone.aborted ? `Firecracker has ended${status}` : why;
  const printed = process.console.text().trim().slice(-maxQuoted);
  const quoted = printed === "" ? "" : `; its console ends with:\n${printed}`;
  return runtimeFailed(`the virtual machine "${vm.id}" did not start: ${what}${quoted}`, error);
}

async function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => reject(signal.reason));
  return await Promise.race([promise, aborted]);
}
