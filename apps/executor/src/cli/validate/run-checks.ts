import { AirlockError, errorMessage } from "@airlock/job";
import type { Check } from "./check.ts";

const checkMs = 20_000;

/** Runs all checks, also after a failure. Prints a line for each, its notes, and for a failure how to fix it. */
export async function runChecks(
  checks: readonly Check[],
  { print, signal }: { readonly print: (line: string) => void; readonly signal: AbortSignal },
): Promise<boolean> {
  const failed = new Set<string>();
  for (const { name, needs, run, timeoutMs } of checks) {
    if (needs !== undefined && failed.has(needs)) {
      print(`note  ${name}: not checked, because ${needs} failed`);
      failed.add(name);
      continue;
    }
    const notes: string[] = [];
    try {
      const context = {
        note: (text: string) => void notes.push(text),
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs ?? checkMs)]),
      };
      print(`ok    ${name}: ${indented(await run(context))}`);
    } catch (error) {
      signal.throwIfAborted();
      failed.add(name);
      print(`FAIL  ${name}: ${indented(errorMessage(error))}`);
      if (error instanceof AirlockError && error.hint) print(`      ${indented(error.hint)}`);
    }
    for (const note of notes) print(`note  ${name}: ${indented(note)}`);
  }
  return failed.size === 0;
}

function indented(text: string): string {
  return text.replaceAll("\n", "\n      ");
}
