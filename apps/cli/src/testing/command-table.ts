import type { Command } from "commander";

/** Any text is allowed, so no value of the option or argument can be wrong by itself. */
export const anyText = Symbol("any text");

interface CommandCase {
  /** Arguments with which the command sends a request. */
  readonly valid: readonly string[];
  /**
   * Wrong values of every option with a value, and of every argument, by their names in `--help`. Arguments are in the
   * order of the command line.
   */
  readonly wrong: Readonly<Record<string, readonly string[] | typeof anyText>>;
}

const wrongIds = ["x7", "0", "-1", "1.5", "", "9".repeat(30)];
const wrongNumbers = ["x", "0", "", "9".repeat(30)];
const wrongPages = [...wrongNumbers, "201"];
const wrongNames = ["A B", "", "..", "x".repeat(300)];
const wrongQueue = { "--queue": wrongNames };
const wrongScope = { ...wrongQueue, "--namespace": wrongNames };
const wrongFilters = {
  ...wrongScope,
  "--state": ["bogus", "", "queued,bogus", "Queued"],
  "--label": ["", "x", "=x", `${"x".repeat(256)}=y`],
};
const wrongRepositories = ["", "a b", "../x", "x".repeat(300)];
const wrongExecutor = ["", "   ", "x".repeat(300)];

const wrongQueueSettings = {
  "--max-attempts": [...wrongNumbers, "101"],
  "--max-losses": [...wrongNumbers, "101"],
  "--backoff": ["soon", "0", "2d"],
  "--max-backoff": ["soon", "0", "2d"],
  "--lease": ["soon", "1s", "2h"],
  "--heartbeat": ["soon", "1ms", "2h"],
  "--limit": [...wrongNumbers, "1000001"],
  "--namespace-limit": [...wrongNumbers, "1000001"],
  "--weight": [...wrongNumbers, "1001"],
  "--max-log": ["lots", "1", "9999999999G"],
  "--allow-unenforced": ["perhaps", ""],
  "--max-wait": ["soon", "1ms"],
};

const wrongAuditFilters = {
  "--action": ["", "secret.stolen", "s"],
  "--actor": ["", "x".repeat(300)],
  "--namespace": wrongNames,
  "--target": ["", "x".repeat(300)],
  "--job": wrongIds,
  "--since": ["soon", ""],
  "--until": ["soon", ""],
};

const wrongUser = { "<NAME>": wrongNames };
const wrongNewName = { "<NAME>": [...wrongNames, "admin"], "--display-name": ["x".repeat(101)] };
const wrongMember = { "<ORGANIZATION>": wrongNames, "<USER>": wrongNames };
const wrongAccountList = { "--text": ["x".repeat(101)], "--after": wrongNames, "--limit": wrongPages };

/** Every command that sends requests. A test fails if a command or one of its options is missing here. */
export const commandTable: Readonly<Record<string, CommandCase>> = {
  "job submit": {
    valid: ["--image", "x", "--", "ls"],
    wrong: {
      "[COMMAND...]": anyText,
      "--file": ["/nowhere", "/", "/dev/null/x"],
      "--repo": anyText,
      "--rev": ["--upload-pack=x", ""],
      "--depth": ["x", "0", ""],
      "--path": ["../x", "/x"],
      "--image": ["A b", ""],
      "--queue": wrongNames,
      "--env": ["NOT_SET", "1A=x", "=x"],
      "--egress": ["http://x", ""],
      "--namespace": wrongNames,
      "--secret": ["lower", ""],
      "--secret-file": ["lower", ""],
      "--timeout": ["5", "soon", ""],
      "--cpus": ["two", "0", ""],
      "--memory": ["lots", ""],
      "--shm": ["lots", ""],
      "--label": ["x", "=x"],
      "--priority": ["high", "9999", ""],
      "--output": ["../x", ""],
      "--service": ["podman", ""],
      "--idempotency-key": ["", "a b", "x".repeat(256), "\u2603"],
    },
  },
  "job list": {
    valid: [],
    wrong: {
      ...wrongFilters,
      "--since": ["", "yesterday", "2026-13-01", "2026-08-01x", "-2h"],
      "--repo": wrongRepositories,
      "--text": ["x".repeat(201)],
      "--before": wrongIds,
      "--limit": wrongPages,
    },
  },
  "job show": { valid: ["7"], wrong: { "<ID>": wrongIds } },
  "job logs": {
    valid: ["7"],
    wrong: {
      "<ID>": wrongIds,
      "--attempt": wrongNumbers,
      "--entry": wrongNumbers,
      "--step": anyText,
      "--tail": wrongNumbers,
    },
  },
  "job file": { valid: ["7"], wrong: { "<ID>": wrongIds } },
  "job artifacts": { valid: ["7"], wrong: { "<ID>": wrongIds } },
  "job download": {
    valid: ["7"],
    wrong: { "<ID>": wrongIds, "[NAME]": anyText, "--output": anyText, "--attempt": wrongNumbers },
  },
  "job cancel": { valid: ["7"], wrong: { "[ID...]": wrongIds, ...wrongFilters } },
  "job retry": { valid: ["7"], wrong: { "[ID...]": wrongIds, ...wrongFilters } },
  "repo add": {
    valid: ["https://git.example.com/a.git"],
    wrong: { "<URL_OR_PATH>": ["", "nowhere", "/dev/null"], "--name": wrongRepositories },
  },
  "repo refresh": { valid: ["app"], wrong: { "<NAME>": wrongRepositories } },
  "repo remove": { valid: ["app"], wrong: { "<NAME>": wrongRepositories } },
  "repo list": { valid: [], wrong: {} },
  "executors list": { valid: [], wrong: {} },
  "executors show": { valid: ["x"], wrong: { "<NAME>": wrongExecutor } },
  "executors drain": { valid: ["x"], wrong: { "<NAME>": wrongExecutor } },
  "executors pause": { valid: ["x"], wrong: { "<NAME>": wrongExecutor } },
  "executors resume": { valid: ["x"], wrong: { "<NAME>": wrongExecutor } },
  "executor-token list": { valid: [], wrong: wrongQueue },
  "executor-token create": {
    valid: ["x", "--queue=x"],
    wrong: { "<NAME>": ["", "   ", "x".repeat(300)], ...wrongQueue },
  },
  "executor-token rotate": { valid: ["7"], wrong: { "<ID>": wrongIds, "--overlap": ["soon", "", "91d"] } },
  "executor-token revoke": { valid: ["7"], wrong: { "<ID>": wrongIds } },
  "queue list": { valid: [], wrong: {} },
  "queue create": { valid: ["x"], wrong: { "<NAME>": wrongNames, ...wrongQueueSettings } },
  "queue delete": { valid: ["x"], wrong: { "<NAME>": wrongNames } },
  "queue update": { valid: ["x"], wrong: { "<NAME>": wrongNames, ...wrongQueueSettings } },
  "secret list": { valid: [], wrong: wrongScope },
  "secret set": {
    valid: ["A"],
    wrong: {
      "<NAME>": ["a", "", "NPM_TOKEN=value"],
      ...wrongScope,
      "--from-file": ["/nowhere", "/", "/dev/null/x"],
      "--description": anyText,
    },
  },
  "secret delete": { valid: ["A"], wrong: { "<NAME>": ["a", ""], ...wrongScope } },
  "secret audit": {
    valid: [],
    wrong: {
      "[NAME]": ["a", ""],
      "--namespace": wrongNames,
      "--action": ["bogus", ""],
      "--job": wrongIds,
      "--before": wrongNumbers,
      "--limit": wrongPages,
    },
  },
  "secret rotate": { valid: [], wrong: {} },
  whoami: { valid: [], wrong: {} },
  "user create": { valid: ["ann"], wrong: { ...wrongNewName, "--role": ["owner", ""] } },
  "user list": { valid: [], wrong: wrongAccountList },
  "user show": { valid: ["ann"], wrong: wrongUser },
  "user set-role": { valid: ["ann", "member"], wrong: { ...wrongUser, "<ROLE>": ["owner", ""] } },
  "user reset-link": { valid: ["ann"], wrong: wrongUser },
  "user disable": { valid: ["ann"], wrong: wrongUser },
  "user enable": { valid: ["ann"], wrong: wrongUser },
  "org create": { valid: ["crew"], wrong: wrongNewName },
  "org delete": { valid: ["crew"], wrong: wrongUser },
  "org list": { valid: [], wrong: wrongAccountList },
  "org show": { valid: ["crew"], wrong: wrongUser },
  "org member list": { valid: ["crew"], wrong: { "<ORGANIZATION>": wrongNames, ...wrongAccountList } },
  "org member add": { valid: ["crew", "ann"], wrong: { ...wrongMember, "--role": ["administrator", ""] } },
  "org member set-role": { valid: ["crew", "ann", "viewer"], wrong: { ...wrongMember, "<ROLE>": ["boss", ""] } },
  "org member remove": { valid: ["crew", "ann"], wrong: wrongMember },
  "token list": { valid: ["--user=ann"], wrong: { "--user": wrongNames } },
  "token revoke": { valid: ["7", "--user=ann"], wrong: { "<ID>": wrongIds, "--user": wrongNames } },
  "audit list": { valid: [], wrong: { ...wrongAuditFilters, "--before": wrongNumbers, "--limit": wrongPages } },
  "audit export": { valid: [], wrong: wrongAuditFilters },
};

/** Commands that run programs, and commands for the stored credentials. They send no request to the environment's instance. */
export const programCommands: Readonly<Record<string, CommandCase["wrong"]>> = {
  dev: {
    "--listen": ["bogus", "127.0.0.1", "127.0.0.1:99999", ""],
    "--data-dir": ["/dev/null", "/dev/null/x"],
    "--repo": anyText,
    "--job": ["/nowhere", "/", "/dev/null/x"],
  },
  server: { "--listen": ["bogus", "127.0.0.1", "127.0.0.1:99999", ""], "--data-dir": anyText },
  executor: { "[ARGS...]": anyText },
  run: {
    "<FILE>": ["/nowhere", "/", "/dev/null/x"],
    "--repo": anyText,
    "--secret": anyText,
    "--artifacts": anyText,
  },
  login: {
    "[URL]": ["", "nowhere", "ftp://x", "http://ann:secret@x"],
    "--name": ["", "a b", "x".repeat(300), "\u2603"],
  },
  logout: { "[NAME]": [""] },
  "instance list": {},
  "instance use": { "<NAME>": [""] },
  completion: { "<SHELL>": ["tcsh", ""] },
};

/** The commands without subcommands, by their words after `airlock`. */
export function leafCommands(command: Command, words: readonly string[] = []): readonly [string, Command][] {
  if (command.commands.length === 0) return [[words.join(" "), command]];
  return command.commands.flatMap((child) => leafCommands(child, [...words, child.name()]));
}

/** Names of a command's options with values, and of its arguments, as the tables write them. */
export function valuedNames(command: Command): readonly string[] {
  const values = command.options.filter((option) => option.required || option.optional).map((option) => option.long);
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [...values, ...words].flatMap((name) => name ?? []);
}
