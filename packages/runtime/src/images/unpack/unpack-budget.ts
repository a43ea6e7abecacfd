import type { ImageLimits } from "../manifest/image-limits.ts";
import { LayerError } from "./layer-error.ts";

/** Tracks what the layers of one image may still unpack to. */
export class UnpackBudget {
  readonly #limits: ImageLimits;
  #entries = 0;
  #bytes = 0;

  constructor(limits: ImageLimits) {
    this.#limits = limits;
  }

  takeEntry(): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) throw new LayerError(`more than ${this.#limits.entries} entries`);
  }

  takeBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.unpackedBytes) {
      throw new LayerError(`more than ${this.#limits.unpackedBytes} bytes unpacked`);
    }
  }

  /** Rejects decompression bombs. The first 64 MiB of any layer are exempt. */
  checkRatio(storedBytes: number, unpackedBytes: number): void {
    if (unpackedBytes > 64 * 2 ** 20 && unpackedBytes > storedBytes * this.#limits.ratio) {
      throw new LayerError(`it unpacks to more than ${this.#limits.ratio} times its size`);
    }
  }
}
