import { readFile } from "node:fs/promises";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { AirlockError } from "@airlock/job";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { describeFileError } from "../../context/describe-file-error.ts";
import { asTerminal, readHidden } from "../../terminal/read-hidden.ts";

const tooLong = 1024 * 1024;

/**
 * Reads the value of a secret from one of these:
 * - a file, byte for byte
 * - a terminal, without showing the input
 * - standard input, without the line end that `echo` adds
 * @throws {AirlockError} `secret-unreadable`; its message contains nothing of the value.
 */
export async function readSecretValue(
  context: CommandContext,
  name: string,
  file: string | undefined,
): Promise<string> {
  if (file !== undefined) return decode(await readWhole(context.cwd, file), file);
  const terminal = asTerminal(context.stdin);
  if (terminal) return readHidden(terminal, context, `Value of ${name}`);
  return decode(await buffer(context.stdin), "standard input").replace(/\r?\n$/, "");
}

async function readWhole(cwd: string, file: string): Promise<Buffer> {
  try {
    return await readFile(path.resolve(cwd, file));
  } catch (cause) {
    throw new UsageError(
      `cannot read the value from ${file}: ${describeFileError(cause)}`,
      "Give the path of a file with --from-file, or leave it out to read the value from standard input.",
      { code: "secret-unreadable", cause },
    );
  }
}

function decode(bytes: Buffer, source: string): string {
  if (bytes.length > tooLong) throw unreadable(`${source} is longer than 64 KiB`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw unreadable(`${source} is not UTF-8 text`, "Encode it first, e.g. with base64, and let the step decode it.");
  }
}

function unreadable(message: string, hint?: string): AirlockError {
  return new AirlockError(message, { code: "secret-unreadable", ...(hint === undefined ? {} : { hint }) });
}
