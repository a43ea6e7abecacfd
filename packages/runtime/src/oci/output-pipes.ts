import { close, constants, open as openDescriptor } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { outputOf } from "@airlock/process";

const openFile = promisify(openDescriptor);
const closeFile = promisify(close);

/** The ends of a step's stdout and stderr. */
export interface OutputPipes {
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** For the child; closed by {@link closeWriters} once it has them, so that its end is seen. */
  readonly writers: readonly [stdout: number, stderr: number];
  closeWriters(): Promise<void>;
}

/**
 * Named pipes for output. The streams that Node gives its children are sockets, and a script can't open `/dev/stdout` or
 * `/dev/stderr` when they are sockets.
 *
 * A pair is free again when both ends were closed; concurrent steps take a pair each.
 */
export class OutputPipePool {
  readonly #directory: string;
  readonly #free: string[] = [];
  #made = 0;

  /** @param directory exists, is private to us, and holds nothing else. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Makes the first pair ahead of the first step. */
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
    // Writable by any user of an image; who may come near is the directory's affair.
    await outputOf(["mkfifo", "-m", "0666", `${pair}.stdout`, `${pair}.stderr`]);
    return pair;
  }
}

async function openPipe(path: string): Promise<{ readonly reader: Socket; readonly writer: number }> {
  // Without O_NONBLOCK the opening would wait for the other end; the writer must not have the flag, the step inherits it.
  const reader = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = await openFile(path, constants.O_WRONLY);
  return { reader: new Socket({ fd: reader, readable: true, writable: false }), writer };
}
