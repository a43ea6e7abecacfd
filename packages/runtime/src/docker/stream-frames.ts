export interface Piece {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

const headerLength = 8;
/** From here on, copying costs more than handling one piece more. */
const worthItsOwn = 4096;

/**
 * Takes apart the engine's multiplexed stream: frames of an 8-byte header (stream, three zeros, big-endian length) and a
 * payload, cut at any byte. A payload is handed on as it comes, so that a frame of 4 GB needs no more memory than one
 * chunk. https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export class StreamFrames {
  readonly #header = Buffer.alloc(headerLength);
  #headerFilled = 0;
  #payloadLeft = 0;

  /**
   * What this chunk holds, in order; small neighbours of one stream in one piece, since a program that writes a line at a
   * time makes thousands of frames. Large ones are not copied. Pieces may share the chunk's memory.
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
