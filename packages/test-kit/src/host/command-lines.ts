import { readdirSync, readFileSync } from "node:fs";

/** The command lines of all processes that this one sees, with NUL between words. Zombies have none. */
export function commandLines(): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8");
      } catch {
        // The process has ended since the directory was read.
        return "";
      }
    });
}
