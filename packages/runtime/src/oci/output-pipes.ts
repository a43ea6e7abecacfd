import { closeSync, constants, open as openDescriptor } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { outputOf } from "@airlock/process";

const openFile = promisify(openDescriptor);

/** Both ends of the pipes for a step's stdout and stderr. */
export interface OutputPipes {
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Where a child opens the pipes for writing. */
  readonly paths: { readonly stdout: string; readonly stderr: string };
  /**
   * Closes this process's own writers, which keep the pipes from ending before the child has opened them. To be called
   * when it has, or when it never will. Has no effect the second time.
   */
  closeWriters(): void;
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
    const paths = { stdout: `${pair}.stdout`, stderr: `${pair}.stderr` };
    const stdout = await openPipe(paths.stdout);
    const stderr = await openPipe(paths.stderr);
    const writers = [stdout.writer, stderr.writer];
    const pipes: OutputPipes = {
      stdout: stdout.reader,
      stderr: stderr.reader,
      paths,
      closeWriters() {
        for (const writer of writers.splice(0)) closeSync(writer);
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
  // Without O_NONBLOCK, opening the reader would wait for a writer.
  const reader = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = await openFile(path, constants.O_WRONLY);
  return { reader: new Socket({ fd: reader, readable: true, writable: false }), writer };
}
