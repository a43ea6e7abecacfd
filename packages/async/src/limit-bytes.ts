/** Passes bytes through. Throws the result of `tooMany` instead of passing the part that exceeds the limit. */
export async function* limitBytes<Part extends Uint8Array>(
  source: AsyncIterable<Part>,
  maxBytes: number,
  tooMany: () => Error,
): AsyncGenerator<Part> {
  let bytes = 0;
  for await (const part of source) {
    bytes += part.length;
    if (bytes > maxBytes) throw tooMany();
    yield part;
  }
}

/** Reads all bytes of a source. Throws the result of `tooMany` if there are more than `maxBytes`. */
export async function readAtMost(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  tooMany: () => Error,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of limitBytes(source, maxBytes, tooMany)) parts.push(part);
  return Buffer.concat(parts);
}
