/**
 * A mark for lines that Airlock writes between the output of a job. It is random, and made after the output or out of
 * reach of the job, so that no step can write a line that begins with it.
 */
export function newOwnMark(): string {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return `[airlock ${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}]`;
}

/** Each line of a text after the mark. */
export function ownLines(mark: string, text: string): string {
  return text
    .trimEnd()
    .split(/\r\n|[\r\n]/)
    .map((line) => `${mark} ${line}\n`)
    .join("");
}
