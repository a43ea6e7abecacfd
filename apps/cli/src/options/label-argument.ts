import { InvalidArgumentError } from "commander";

/** Collects `KEY=VALUE` options. */
export function parseLabel(text: string, previous: readonly string[] = []): readonly string[] {
  if (/^[^=\0]{1,255}=[^\0]{0,255}$/.test(text) && text.isWellFormed()) return [...previous, text];
  throw new InvalidArgumentError("Write it as KEY=VALUE, each part with at most 255 characters.");
}
