/** A layer's archive is malformed, breaks a rule or exceeds a limit: the image's fault, never the machine's. */
export class LayerError extends Error {
  override readonly name: string = "LayerError";
}
