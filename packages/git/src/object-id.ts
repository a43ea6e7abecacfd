/** The hash function of a repository's object ids. */
export type ObjectFormat = "sha1" | "sha256";

const digits: Readonly<Record<ObjectFormat, number>> = { sha1: 40, sha256: 64 };

/** Whether the text is a full object id of this format, or of any format if none is given. */
export function isObjectId(text: string, format?: ObjectFormat): boolean {
  if (!/^[0-9a-f]+$/.test(text)) return false;
  return format === undefined ? objectFormatOf(text) !== undefined : text.length === digits[format];
}

/** The format of a full object id, or `undefined` if the text is not one. */
export function objectFormatOf(id: string): ObjectFormat | undefined {
  if (!/^[0-9a-f]+$/.test(id)) return undefined;
  if (id.length === digits.sha1) return "sha1";
  return id.length === digits.sha256 ? "sha256" : undefined;
}
