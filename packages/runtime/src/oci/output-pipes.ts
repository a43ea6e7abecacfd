import { close, constants, open as openDescriptor } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { outputOf } from "@airlock/process";

const openFile = promisify(openDescriptor);
const closeFile = promisify(close);

/** Both ends of the pipes for a step's stdout and stderr. */
export interface OutputPipes {
  readonly stdout: Socket;
  readonly stderr: Socket;
  /**
   * File descriptors for the child. {@link closeWriters} closes them once the child has them, so that readers see the
   * child's end.
   */
  readonly writers: readonly [stdout: number, stderr: number];
  closeWriters(): Promise<void>;
}

/**
 * A pool of named pipes for output. The streams that Node creates for children are sockets, and scripts can't open
 * `/dev/stdout` or `/dev/stderr` if those are sockets.
 *
 * A pair can be reused when both ends were closed. Concurrent steps use a pair each.
 */
export class OutputPipePool {
  readonly #directory: string;
  readonly #free: string[] = [];
  #made = 0;

  /** @param directory Must exist, be empty, and be private to the executor. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Creates the first pair before the first step. */
  async prepare(): Promise<void> {
    this.#free.push(await this.#make());
  }

  async open(): Promise<{ readonly pipes: OutputPipes; readonly giveBack: () => void }> {
    const pair = this.#free.pop() ?? (await this.#make());
    const stdout = await openPipe(`${pair}.stdout`);
    const stderr = await openPipe(`${pair}.stderr`);
    const writers = [stdout.writer, stderr.writer] as const;
    const pipes: OutputPipes = {
      stdout: stdout.reader,
      stderr: stderr.reader,
      writers,
      async closeWriters() {
        for (const writer of writers) await closeFile(writer);
      },
    };
    return { pipes, giveBack: () => void this.#free.push(pair) };
  }

  async #make(): Promise<string> {
    this.#made += 1;
    const pair = join(this.#directory, String(this.#made));
    // Any user of an image may write to the pipes. The directory's mode restricts access.
    await outputOf(["mkfifo", "-m", "0666", `${pair}.stdout`, `${pair}.stderr`]);
    return pair;
  }
}

async function openPipe(path: string): Promise<{ readonly reader: Socket; readonly writer: number }> {
  // Without O_NONBLOCK, opening the reader would wait for a writer. The step inherits the writer, which must not have
  // the flag.
  const reader = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = await openFile(path, constants.O_WRONLY);
  return { reader: new Socket({ fd: reader, readable: true, writable: false }), writer };
}
