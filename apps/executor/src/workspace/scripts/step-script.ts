/**
 * A step's script. `strict` ends at the first command that fails and prints nothing of its own. `protocol` is what
 * executors of the protocol do: bash where the image has it, every command traced on stderr, and the exit code of the
 * last command, whatever failed before.
 */
export function stepScript(commands: readonly string[], shell: "strict" | "protocol"): string {
  return `${shell === "strict" ? "set -e" : protocolPreamble}\n\n${commands.join("\n")}\n`;
}

// The marker argument tells the second run, under bash, from the first.
const protocolPreamble = `if [ "$#" -eq 0 ]; then
  __shell="$(command -p -v bash 2>/dev/null || true)"
  if [ -z "$__shell" ] && [ -x /bin/bash ]; then __shell=/bin/bash; fi
  if [ -n "$__shell" ]; then exec "$__shell" "$0" airlock; fi
fi
unset __shell
[ "$1" = airlock ] && shift
set +e
set -x`;
