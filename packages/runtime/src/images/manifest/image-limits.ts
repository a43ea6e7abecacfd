/** Bounds for what an image may cost this machine. Images are as hostile as jobs are. */
export interface ImageLimits {
  /** A manifest, index, configuration or token. Default 4 MiB. */
  readonly documentBytes: number;
  /** All layers of an image as they are stored in the registry. Default 16 GiB. */
  readonly compressedBytes: number;
  /** All layers of an image unpacked. Default 32 GiB. */
  readonly unpackedBytes: number;
  /** Files, directories and links of an image. Default 1,000,000. */
  readonly entries: number;
  /** Bytes unpacked from one byte stored, past the first 64 MiB of a layer: real layers stay below 50. Default 200. */
  readonly ratio: number;
  /** The kernel takes the list of an overlay's layers as one page. Default 110. */
  readonly layers: number;
}

export const defaultImageLimits: ImageLimits = {
  documentBytes: 4 * 2 ** 20,
  compressedBytes: 16 * 2 ** 30,
  unpackedBytes: 32 * 2 ** 30,
  entries: 1_000_000,
  ratio: 200,
  layers: 110,
};
