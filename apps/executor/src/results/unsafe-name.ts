/**
 * Characters that HFS+ leaves out of names, as in `.g\u200cit`.
 * @see `next_hfs_char` in git's `utf8.c`
 */
const ignoredByHfs = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

/**
 * Whether macOS or Windows would take a part of a path for `.git`, or a link for `.gitmodules`. Git refuses to add or
 * check out such a path. A patch with one could run a step's code on the machine of the user who applies it.
 */
export function isUnsafeName(path: Buffer, isLink: boolean): boolean {
  const parts = path.toString().replace(ignoredByHfs, "").toLowerCase().split("/");
  if (parts.some((part) => /^(?:\.git|git~1)[ .]*(?:[:\\]|$)/.test(part))) return true;
  return isLink && /^(?:\.gitmodules|gitmod~[1-4]|gi7eb[0-9a-f]{0,2}~\d)[ .]*(?:[:\\]|$)/.test(parts.at(-1) ?? "");
}
