import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { commandLines } from "../host/command-lines.ts";

/** A sleep argument that no other process on this machine uses. */
export function uniqueSeconds(): string {
  return `${10_000 + randomBytes(4).readUInt32LE()}`;
}

/**
 * Command lines that contain a text, of all processes on this machine, including those in containers. Zombies have
 * none.
 */
export async function hostProcesses(text: string): Promise<readonly string[]> {
  return commandLines()
    .map((line) => line.replaceAll("\0", " "))
    .filter((words) => words.includes(text));
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    if (await condition()) return;
    await delay(20);
  }
  throw new Error("it did not happen within 20 s");
}
