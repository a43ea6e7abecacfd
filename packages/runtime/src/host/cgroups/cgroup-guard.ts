import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { dirname } from "node:path";
import { systemPath } from "@airlock/process";
import type { Cgroup } from "./cgroup.ts";

/**
 * Waits for the end of its standard input, which means that the executor died. Then it kills all processes in the
 * cgroups that are its arguments, and in their direct children. On cgroup v1 it first forbids forks. Ids below 1 belong
 * to processes in other namespaces.
 */
const script = `
read -r _
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  for directory; do
    [ ! -w "$directory/cgroup.kill" ] || echo 1 > "$directory/cgroup.kill"
    [ ! -w "$directory/pids.max" ] || echo 0 > "$directory/pids.max"
    for file in "$directory"/cgroup.procs "$directory"/*/cgroup.procs; do
      while read -r pid; do [ "$pid" -gt 0 ] && kill -KILL "$pid"; done < "$file"
    done
  done
  sleep 0.2
done 2>/dev/null
`;

/**
 * A small process beside the executor. When the executor dies, it kills the processes of a cgroup, whatever they do. It
 * can't help if a service manager kills it together with the executor.
 */
export class CgroupGuard implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(cgroup: Cgroup) {
    const directories = cgroup.joinFiles.map((file) => dirname(file));
    this.#child = spawn("/bin/sh", ["-c", script, "airlock-guard", ...directories], {
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: systemPath, LC_ALL: "C" },
      // In a separate session, because Ctrl-C in the executor's terminal must reach only the executor.
      detached: true,
    });
    const { stdin } = this.#child;
    stdin?.on("error", () => {});
    this.#ended = once(this.#child, "exit");
    // If the machine can't start another process, creating the containers reports that.
    this.#ended.catch(() => {});
    // The executor may end while the guard waits.
    this.#child.unref();
    if (stdin instanceof Socket) stdin.unref();
  }

  /** Ends the guard. The processes in the cgroup stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#child.kill("SIGKILL")) return;
    this.#child.ref();
    await this.#ended.catch(() => {});
  }
}
