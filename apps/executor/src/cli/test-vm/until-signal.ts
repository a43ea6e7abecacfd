import { testVmError } from "./test-vm-error.ts";

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Aborts work when this process is told to stop, so that the work leaves nothing behind. */
export async function untilSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stopped = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    stopped.abort(testVmError(`stopped by ${signal}`, "Nothing was left behind."));
  };
  for (const signal of stopSignals) process.on(signal, stop);
  try {
    return await work(stopped.signal);
  } finally {
    for (const signal of stopSignals) process.off(signal, stop);
  }
}
