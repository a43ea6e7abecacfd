import { spawn } from "node:child_process";
import type { CommandContext } from "../context/command-context.ts";

/** Opens a page in the browser and prints its link. Where there is no browser, prints only the link. */
export async function openInBrowser({ env, stderr }: Pick<CommandContext, "env" | "stderr">, url: string) {
  for (const argv of browserCommands(env, url)) {
    if (!(await starts(argv, env))) continue;
    stderr.write(`opening ${url}\n`);
    return;
  }
  stderr.write(`no browser found here; open ${url}\n`);
}

/**
 * The programs to try. `BROWSER` is a list of commands separated by colons; `%s` in a command stands for the URL, which
 * is otherwise the last argument. Without a display, xdg-open would start a browser inside this terminal.
 */
function browserCommands(env: NodeJS.ProcessEnv, url: string): readonly (readonly string[])[] {
  const chosen = (env.BROWSER ?? "")
    .split(":")
    .map((command) => command.split(/\s+/).filter((word) => word !== ""))
    .filter((words) => words.length > 0)
    .map((words) => {
      const placed = words.map((word) => word.replaceAll("%s", url));
      return words.some((word) => word.includes("%s")) ? placed : [...placed, url];
    });
  if (chosen.length > 0) return chosen;
  if (process.platform === "darwin") return [["open", url]];
  return env.DISPLAY || env.WAYLAND_DISPLAY ? [["xdg-open", url]] : [];
}

/** The browser may stay open for hours, so this waits only until it has started. */
function starts([file = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  const child = spawn(file, args, { env, stdio: "ignore", detached: true });
  return new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("spawn", () => {
      child.unref();
      resolve(true);
    });
  });
}
