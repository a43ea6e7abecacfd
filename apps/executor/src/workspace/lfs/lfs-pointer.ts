/** What a pointer file stands for. */
export interface LfsObject {
  /** SHA-256 of the content, 64 hex digits. */
  readonly oid: string;
  /** In bytes. */
  readonly size: number;
}

/** From Git LFS's specification: what is longer is content. */
export const maximumPointerBytes = 1023;

/**
 * Reads a pointer file: `version` first, further lines in the order of their keys. `null`: it is none, or one with
 * extensions, which name programs that would have to turn the content around.
 */
export function parseLfsPointer(content: Buffer): LfsObject | null {
  if (content.length > maximumPointerBytes) return null;
  const match =
    /^version https:\/\/git-lfs\.github\.com\/spec\/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9]\d{0,14})\n?$/.exec(
      content.toString("latin1"),
    );
  if (!match) return null;
  return { oid: match[1] ?? "", size: Number(match[2]) };
}
