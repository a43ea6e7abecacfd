import { shellQuote } from "@airlock/job";
import type { ReadOnlyFile } from "@airlock/runtime";

/** A step's commands as files for `/airlock`. */
export interface StepScript {
  readonly files: readonly ReadOnlyFile[];
  /** Path of the file in `files` that `/bin/sh` runs. */
  readonly start: string;
  /** The command that runs, for display. */
  readonly command: readonly string[];
}

/**
 * Creates a step's script. Line numbers in messages refer to the submitter's lines.
 *
 * `strict` ends at the first command that fails, and prints nothing itself. A first line `#!…` selects the interpreter,
 * with the kernel's rules. Shells selected this way also end at the first failing command.
 *
 * `protocol` does what executors of the protocol do. It uses bash if the image has it, and traces every command on
 * stderr. Its exit code is that of the last command, whatever failed before. A first line `#!…` is a comment.
 * @param name Prefix of the files' names.
 */
export function stepScript(name: string, commands: readonly string[], shell: "strict" | "protocol"): StepScript {
  const text = `${commands.join("\n")}\n`;
  const start = `${name}.sh`;
  const shown = ["/bin/sh", `/airlock/${start}`];
  if (shell === "protocol") return launched(name, protocolLauncher(`${name}.script`), text, shown);
  const interpreter = shebang(commands[0] ?? "");
  if (!interpreter) return { files: [file(start, `set -e; ${text}`)], start, command: shown };
  const launcher = strictLauncher(interpreter, `${name}.script`);
  return launched(name, launcher, text, [...interpreter, `/airlock/${name}.script`]);
}

function launched(name: string, launcher: string, text: string, command: readonly string[]): StepScript {
  const start = `${name}.sh`;
  return { files: [file(start, launcher), file(`${name}.script`, text)], start, command };
}

function file(path: string, content: string): ReadOnlyFile {
  return { path, content, executable: true };
}

/** Shell expression for the path of the script, in the launcher's directory. */
function beside(script: string): string {
  return `"\${0%/*}/${script}"`;
}

/** Sets no variable, because it would overwrite the variable of the same name in the step's environment. */
function protocolLauncher(script: string): string {
  return `set -- "$(command -p -v bash 2>/dev/null || true)"
if [ -z "$1" ] && [ -x /bin/bash ]; then set -- /bin/bash; fi
exec "\${1:-/bin/sh}" -x ${beside(script)}
`;
}

function strictLauncher(interpreter: readonly string[], script: string): string {
  const [program = ""] = interpreter;
  const missing = `the script's first line names ${program}, which the image does not have`;
  return `[ -x ${shellQuote(program)} ] || { echo ${shellQuote(missing)} >&2; exit 127; }
exec ${interpreter.map(shellQuote).join(" ")} ${beside(script)}
`;
}

const shells = /^(?:a|ba|da|k|mk|z)?sh$/;

/** The interpreter of a first line `#!…`, with its arguments; `undefined` without such a line. */
function shebang(line: string): readonly string[] | undefined {
  // The kernel passes everything after the program as one argument.
  const [, program, argument = ""] = /^#![ \t]*(\S+)[ \t]*(.*?)\s*$/.exec(line) ?? [];
  if (program === undefined) return undefined;
  const given = argument === "" ? [] : [argument];
  const [named = ""] = baseName(program) === "env" ? argument.replace(/^-S\s*/, "").split(/\s+/) : [program];
  if (!shells.test(baseName(named))) return [program, ...given];
  // After `-` and `--`, a shell accepts no further options.
  return /^--?$/.test(argument) ? [program, "-e", ...given] : [program, ...given, "-e"];
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
