import type { IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  type ZlibOptions,
} from "node:zlib";

/** Window of a Zstandard frame that every decoder should support (RFC 8878). Larger ones would cost memory. */
const zstdWindowLog = 23;
/** Inflate in parts of this size, whatever the input expands to. */
const options: ZlibOptions = { chunkSize: 64 * 1024 };

/** `bytesWritten`: how many bytes of its input the decoder has used. */
export type Decoder = Transform & { readonly bytesWritten: number };

const decoders: Readonly<Record<string, () => Decoder>> = {
  gzip: () => createGunzip(options),
  "x-gzip": () => createGunzip(options),
  deflate: () => createInflate(options),
  br: () => createBrotliDecompress({ chunkSize: options.chunkSize }),
  zstd: () =>
    createZstdDecompress({
      chunkSize: options.chunkSize,
      params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog },
    }),
};

const acceptedEncodings = "gzip, deflate, br, zstd";

/** A body that can't be read. Fastify and both error handlers answer with the status. */
export class BodyError extends Error {
  override readonly name = "BodyError";
  readonly statusCode: 400 | 413 | 415;

  constructor(statusCode: 400 | 413 | 415, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.statusCode = statusCode;
  }
}

/**
 * Creates decoders for the request's `Content-Encoding`; `null`: the body is sent as it is. The media type doesn't
 * matter: an upload of `index.scip.gz` without this header stays compressed.
 * @throws {BodyError} 415 for an encoding that the instance doesn't know, or several.
 */
export function bodyDecoder({ headers }: Pick<IncomingMessage, "headers">): (() => Decoder) | null {
  const encoding = (headers["content-encoding"] ?? "").trim().toLowerCase();
  if (encoding === "" || encoding === "identity") return null;
  const create = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined;
  if (create) return create;
  throw new BodyError(
    415,
    `Content-Encoding: "${encoding.slice(0, 50)}" is not supported. Send the body with one of ${acceptedEncodings}, or ` +
      "uncompressed without this header.",
  );
}
