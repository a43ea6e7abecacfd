import { closestWord } from "@airlock/job";

/** What the command line asks for. */
export type Command =
  | { readonly kind: "run"; readonly verify: boolean }
  | { readonly kind: "validate" }
  | { readonly kind: "install"; readonly target: string | null }
  | { readonly kind: "load-images"; readonly file: string }
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly topic: HelpTopic }
  /** Wrong usage, in one sentence. */
  | { readonly kind: "problem"; readonly message: string; readonly topic: HelpTopic };

const helpTopics = ["executor", "run", "validate", "install", "image", "version", "variables"] as const;
export type HelpTopic = (typeof helpTopics)[number] | "variables-markdown";

const commands = ["run", "validate", "install", "image", "version", "help", "test-vm"];
const helpFlags = ["--help", "-h", "-help"];

/** Reads the arguments after the program's name. Without any, it is `run`. */
export function parseCommandLine(args: readonly string[]): Command {
  const [first = "run", ...rest] = args;
  if (helpFlags.includes(first)) return { kind: "help", topic: "executor" };
  if (first === "--version" || first === "-v") return { kind: "version" };
  // Flags alone are those of `run`, as the protocol's executors have it.
  if (first.startsWith("-")) return parseCommandLine(["run", ...args]);
  if (first === "help") return parseHelp(rest);
  const topic = helpTopics.find((known) => known === first);
  if (topic && topic !== "variables" && rest.some((word) => helpFlags.includes(word))) return { kind: "help", topic };
  switch (first) {
    case "run": {
      const wrong = rest.find((word) => word !== "--verify" && word !== "-verify");
      return wrong === undefined
        ? { kind: "run", verify: rest.length > 0 }
        : unknown(wrong, ["--verify", "--help"], "run");
    }
    case "validate":
      return rest[0] === undefined ? { kind: "validate" } : unknown(rest[0], ["--help"], "validate");
    case "version":
      return rest[0] === undefined ? { kind: "version" } : unknown(rest[0], ["--help"], "version");
    case "install":
      return parseInstall(rest);
    case "image":
      if (rest[0] !== "load") return unknown(rest[0] ?? "", ["load"], "image");
      return rest[1] !== undefined && rest.length === 2
        ? { kind: "load-images", file: rest[1] }
        : { kind: "problem", message: "image load takes one file", topic: "image" };
    case "test-vm":
      return {
        kind: "problem",
        message: "test-vm boots a Firecracker machine, which this executor does not have; try executor validate",
        topic: "executor",
      };
    default:
      return unknown(first, commands, "executor");
  }
}

function parseHelp([topic, ...rest]: readonly string[]): Command {
  if (topic === undefined) return { kind: "help", topic: "executor" };
  if (topic === "variables" && rest[0] === "--markdown") return { kind: "help", topic: "variables-markdown" };
  const known = helpTopics.find((name) => name === topic);
  return known ? { kind: "help", topic: known } : unknown(topic, helpTopics, "executor");
}

/** `--bin-dir` and `--recreate-chain` are flags of the protocol that decide about nothing here. */
function parseInstall(args: readonly string[]): Command {
  const words: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] ?? "";
    if (/^--?bin-dir$/.test(word)) index += 1;
    else if (/^--?(?:bin-dir=.*|recreate-chain)$/.test(word)) continue;
    else if (word.startsWith("-")) return unknown(word, ["--bin-dir", "--recreate-chain", "--help"], "install");
    else words.push(word);
  }
  const [target = null, more] = words;
  // `install image KERNEL`: what is said about images holds for each.
  if (more !== undefined && target !== "image") return unknown(more, [], "install");
  return { kind: "install", target };
}

function unknown(word: string, known: readonly string[], topic: HelpTopic): Command {
  const what = word.startsWith("-") ? "flag" : topic === "executor" ? "command" : "argument";
  const closest = closestWord(word, known);
  const message = word === "" ? `executor ${topic} needs an argument` : `unknown ${what} "${word}"`;
  return { kind: "problem", message: closest ? `${message}; did you mean ${closest}?` : message, topic };
}
