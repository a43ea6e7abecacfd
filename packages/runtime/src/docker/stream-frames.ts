export interface Piece {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

const headerLength = 8;
/** From this size on, copying a payload costs more than handling a separate piece. */
const worthItsOwn = 4096;

/**
 * Parser of the engine's multiplexed stream. A frame is an 8-byte header (stream, three zeros, big-endian length) and a
 * payload, and chunks may cut it anywhere. Payloads are passed on as they arrive, so that a frame of 4 GB needs no more
 * memory than one chunk.
 * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export class StreamFrames {
  readonly #header = Buffer.alloc(headerLength);
  #headerFilled = 0;
  #payloadLeft = 0;

  /**
   * Returns the pieces of this chunk in order. Small neighboring payloads of one stream are merged, since a program
   * that writes single lines produces thousands of frames. Large ones are not copied, and pieces may share the chunk's
   * memory.
   */
  push(chunk: Buffer): readonly Piece[] {
    const runs: { readonly stream: Piece["stream"]; readonly parts: Buffer[] }[] = [];
    for (const { stream, bytes } of this.#payloads(chunk)) {
      const last = runs.at(-1);
      if (last?.stream === stream && bytes.length < worthItsOwn && (last.parts[0]?.length ?? 0) < worthItsOwn) {
        last.parts.push(bytes);
      } else {
        runs.push({ stream, parts: [bytes] });
      }
    }
    return runs.map(({ stream, parts }) => ({
      stream,
      bytes: parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts),
    }));
  }

  *#payloads(chunk: Buffer): Generator<Piece> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const bytes = chunk.subarray(at, at + this.#payloadLeft);
        at += bytes.length;
        this.#payloadLeft -= bytes.length;
        yield { stream: this.#header[0] === 2 ? "stderr" : "stdout", bytes };
        continue;
      }
      const copied = chunk.copy(this.#header, this.#headerFilled, at, at + headerLength - this.#headerFilled);
      at += copied;
      this.#headerFilled += copied;
      if (this.#headerFilled < headerLength) return;
      this.#headerFilled = 0;
      this.#payloadLeft = this.#header.readUInt32BE(4);
    }
  }
}
