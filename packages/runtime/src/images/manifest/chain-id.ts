import { createHash } from "node:crypto";

/**
 * Computes one chain id per layer: it names the result of applying all layers up to this one, lowest first.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#layer-chainid
 */
export function chainIds(diffIds: readonly string[]): readonly string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}

/** The digest as `sha256:` and 64 hex digits. */
export function sha256(data: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
