import type { Duplex } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import { onAbort } from "@airlock/async";
import { encodeInput, encodeWindowSize, TelnetOutput } from "./telnet.ts";

/** Ctrl-]: leaves the terminal even if the guest does not answer. */
const detachKey = 0x1d;

/**
 * Connects this process's terminal with a terminal that speaks telnet. Resolves when the stream ended or the user left,
 * with the exit code of the shell, or `null` if the shell goes on or did not tell one.
 */
export async function attachTerminal(
  stream: Duplex,
  { stdin, stdout, signal }: { readonly stdin: ReadStream; readonly stdout: WriteStream; readonly signal: AbortSignal },
): Promise<number | null> {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const output = new TelnetOutput();
  const resized = () => void stream.write(encodeWindowSize({ columns: stdout.columns, rows: stdout.rows }));
  const typed = (bytes: Buffer) => {
    const end = bytes.indexOf(detachKey);
    stream.write(encodeInput(end < 0 ? bytes : bytes.subarray(0, end)));
    if (end >= 0) resolve();
  };
  stream.on("data", (bytes: Buffer) => {
    // The terminal is slower than the guest. So the guest has to wait.
    if (stdout.write(output.decode(bytes))) return;
    stream.pause();
    stdout.once("drain", () => stream.resume());
  });
  stream.once("end", resolve).once("close", resolve).once("error", resolve);
  using _ = onAbort(signal, resolve);
  stdin.setRawMode(true);
  stdin.on("data", typed).resume();
  stdout.on("resize", resized);
  resized();
  try {
    await ended;
  } finally {
    stdin.off("data", typed).pause();
    stdout.off("resize", resized);
    stdin.setRawMode(false);
    stream.destroy();
  }
  return output.exitCode;
}
