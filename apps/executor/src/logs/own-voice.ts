import type { SecretPattern } from "./secret-matcher.ts";

/** Begins lines that the executor writes into a job's log. */
const ownVoice = "[airlock]";

/** A line in the executor's own voice; each line of the text begins so. */
export function ownLine(text: string): string {
  return `${ownVoice} ${text.trimEnd().replaceAll("\n", `\n${ownVoice} `)}\n`;
}

/** To be replaced in whatever a job writes, so that a line of a step is visibly not the executor's. */
export const forgedVoice: SecretPattern = {
  bytes: Buffer.from(ownVoice),
  replacement: Buffer.from("[airlock?]"),
};
