import { JobView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import type { CommandContext } from "../context/command-context.ts";
import { exitCodes } from "../context/exit-codes.ts";
import { InterruptedError, interruptSignal } from "../context/interrupt.ts";
import type { InstanceClient } from "../instance/instance-client.ts";
import { RequestError } from "../instance/request-error.ts";
import { jobExitCode } from "./describe-job.ts";
import { jobEvents } from "./job-events.ts";
import { type AttemptSelection, JobPrinter } from "./job-printer.ts";
import { LogScreen } from "./log-screen.ts";

export interface FollowOptions extends AttemptSelection {
  /** Ctrl-C cancels the job, and the command still waits for its end. Default: Ctrl-C only stops following. */
  readonly cancelOnInterrupt?: boolean | undefined;
  /** Print events as JSON, one per line, instead of text. */
  readonly json?: boolean | undefined;
}

/** Prints a job's states and output until it ends or Ctrl-C is pressed. Resolves with the command's exit code. */
export async function followJob(
  context: CommandContext,
  client: InstanceClient,
  id: number,
  options: FollowOptions = {},
): Promise<number> {
  using screen = new LogScreen(context);
  const printer = new JobPrinter(screen, options);
  using interrupt = interruptSignal(context.signals, () => context.exit(exitCodes.interrupted));
  const watch = (signal: AbortSignal) => watchJob(context, client, id, { screen, printer, signal, json: options.json });
  try {
    return jobExitCode(await watch(interrupt.signal));
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    screen.clearStatus();
  }
  if (options.cancelOnInterrupt) {
    await screen.line(`canceling job ${id}; press Ctrl-C again to exit without waiting for it`);
    await cancelUnlessOver(client, id);
    await watch(new AbortController().signal);
  } else {
    await screen.line(`stopped following; job ${id} keeps running`);
    await screen.line(`  airlock job logs ${id} --follow    follows it again`);
    await screen.line(`  airlock job cancel ${id}           cancels it`);
  }
  return exitCodes.interrupted;
}

/** Prints a job's states and output until it ends, and resolves with the job. Rejects with the signal's reason. */
export async function watchJob(
  { stdout }: Pick<CommandContext, "stdout">,
  client: InstanceClient,
  id: number,
  options: {
    readonly screen: LogScreen;
    readonly printer: JobPrinter;
    readonly signal: AbortSignal;
    readonly json?: boolean | undefined;
  },
): Promise<JobView> {
  const { screen, printer, signal, json } = options;
  const onConnection = (state: "lost" | "back") => {
    screen.status(state === "lost" ? "connection lost; reconnecting …" : "reconnected");
  };
  let last: JobView | undefined;
  for await (const event of jobEvents(client, id, { signal, onConnection })) {
    if (event.kind === "job") last = event.job;
    if (json) stdout.write(`${JSON.stringify(event)}\n`);
    else await printer.print(event);
  }
  const job = last && isFinished(last.state) ? last : await client.json(JobView, `jobs/${id}`, { signal });
  if (json) screen.clearStatus();
  else await printer.printEnd(job);
  return job;
}

/** Cancels a job. A job that has ended in the meantime is not an error. */
export async function cancelUnlessOver(client: InstanceClient, id: number, signal?: AbortSignal): Promise<void> {
  try {
    await client.request(`jobs/${id}/cancel`, { method: "POST", signal });
  } catch (error) {
    if (!(error instanceof RequestError && error.code === "wrong-state")) throw error;
  }
}
