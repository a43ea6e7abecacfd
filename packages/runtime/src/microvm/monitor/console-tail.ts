import type { Readable } from "node:stream";

const keptBytes = 16 * 2 ** 10;
/** A guest prints far less than this in its life. The rest of what a hostile one prints is not read. */
const maxBytes = 2 ** 20;

/** The last part of what a guest prints. Once it has printed 1 MiB, its console stalls. */
export class ConsoleTail {
  #kept = Buffer.alloc(0);
  #read = 0;

  constructor(stream: Readable) {
    stream.on("data", (bytes: Buffer) => {
      this.#read += bytes.length;
      this.#kept = Buffer.concat([this.#kept, bytes]).subarray(-keptBytes);
      if (this.#read >= maxBytes) stream.pause();
    });
  }

  /** Printable: a terminal that shows it takes no command from the guest. */
  get text(): string {
    return this.#kept
      .toString("latin1")
      .replaceAll("\r", "")
      .replace(/[^\n\t -~]/g, "?")
      .trim();
  }
}
