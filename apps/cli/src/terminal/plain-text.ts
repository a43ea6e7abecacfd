import { OutputSanitizer } from "./sanitize-output.ts";

/** Text of others (names, messages, revisions) on one line, without anything that a terminal would obey. */
export function plainText(text: string): string {
  const sanitizer = new OutputSanitizer();
  const safe = sanitizer.push(new TextEncoder().encode(text)) + sanitizer.end();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what the sanitizer keeps is colours and white space
  return safe.replace(/\u001b\[[0-9;:]*m/g, "").replace(/[\t\n\r\u2028\u2029]+/g, " ");
}
