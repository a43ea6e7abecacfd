/** The content that a pointer file refers to. */
export interface LfsObject {
  /** SHA-256 of the content, 64 hex digits. */
  readonly oid: string;
  /** In bytes. */
  readonly size: number;
}

/** From Git LFS's specification: a longer file is content. */
export const maximumPointerBytes = 1023;

/**
 * Parses a pointer file: `version` first, other lines sorted by key. `null`: the file is not a pointer, or it uses
 * extensions, which name programs that would have to transform the content.
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
