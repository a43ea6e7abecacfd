import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** A sleep argument that no other process on this machine uses. */
export function uniqueSeconds(): string {
  return `${10_000 + randomBytes(4).readUInt32LE()}`;
}

/**
 * Command lines that contain a text, of all processes on this machine, including those in containers. Zombies have
 * none.
 */
export async function hostProcesses(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    // The process may have ended since readdir.
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const words = commandLine.replaceAll("\0", " ");
    if (words.includes(text)) found.push(words);
  }
  return found;
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    if (await condition()) return;
    await delay(20);
  }
  throw new Error("it did not happen within 20 s");
}
