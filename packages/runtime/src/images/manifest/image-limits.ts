/** Limits on what one image may cost this machine. Images are as untrusted as jobs. */
export interface ImageLimits {
  /** Size of a manifest, index, configuration or token. Default 4 MiB. */
  readonly documentBytes: number;
  /** Total size of an image's layers as stored in the registry. Default 16 GiB. */
  readonly compressedBytes: number;
  /** Total size of an image's unpacked layers. Default 32 GiB. */
  readonly unpackedBytes: number;
  /** Number of files, directories and links of an image. Default 1,000,000. */
  readonly entries: number;
  /** Unpacked bytes per stored byte, beyond the first 64 MiB of a layer. Real layers stay below 50. Default 200. */
  readonly ratio: number;
  /** Number of layers. The kernel reads the list of an overlay's layers from one page. Default 110. */
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
