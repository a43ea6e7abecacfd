import { AirlockError } from "@airlock/job";

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Aborts work when this process is told to stop, so that the work can clean up. Programs that it runs have their own
 * process groups, so they do not get Ctrl-C from the terminal.
 */
export async function untilStopped<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopped = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    stopped.abort(new AirlockError(`stopped by ${signal} while ${what}`, { code: "install-failed" }));
  };
  for (const signal of stopSignals) process.once(signal, stop);
  try {
    return await work(stopped.signal);
  } finally {
    for (const signal of stopSignals) process.off(signal, stop);
  }
}
