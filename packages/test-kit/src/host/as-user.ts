import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../..", import.meta.url)).replace(/\/$/, "");

/**
 * Wraps a command line so that it runs as another user, below `directory`. In a mount namespace of its own, that user
 * sees the repository at another path. The real path may be inaccessible, such as below root's home directory. Files of
 * the repository in the command line are replaced by their other paths.
 */
export async function asUser(user: number, directory: string, command: readonly string[]): Promise<readonly string[]> {
  const place = join(directory, "repository");
  await mkdir(place, { recursive: true });
  const moved = command.map((word) => (word.startsWith(`${root}/`) ? join(place, relative(root, word)) : word));
  const drop = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--"];
  const script = 'mount --bind "$1" "$2" && cd "$3" && shift 3 && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, "sh", root, place, directory, ...drop, ...moved];
}
