/**
 * A mark for Airlock's own lines in the output of a job. No step can write a line that starts with it: it is random,
 * and created after the output or out of the job's reach.
 */
export function newOwnMark(): string {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return `[airlock ${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}]`;
}

/** Puts the mark before each line of a text. */
export function ownLines(mark: string, text: string): string {
  return text
    .trimEnd()
    .split(/\r\n|[\r\n]/)
    .map((line) => `${mark} ${line}\n`)
    .join("");
}
