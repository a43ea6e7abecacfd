import { constants } from "node:os";

const numbers: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));

/** Signals that usually end programs. Codes of other signals, such as 145 for SIGCHLD, are a script's own choice. */
const fatalSignals: readonly NodeJS.Signals[] = [
  ...(["SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL"] as const),
  ...(["SIGSEGV", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGXCPU", "SIGXFSZ", "SIGSYS"] as const),
];

/** The exit code that shells report for a command that this signal ended: 128 plus the signal's number. */
export function signalExitCode(signal: string): number {
  return 128 + (numbers.get(signal) ?? 0);
}

/** Explains an exit code above 128. A script may exit with the same number, so the text claims nothing more. */
export function noteOnExitCode(exitCode: number): string | undefined {
  const signal = fatalSignals.find((name) => signalExitCode(name) === exitCode);
  return signal && `${exitCode} is the exit code that shells report for a command that ${signal} ended`;
}
