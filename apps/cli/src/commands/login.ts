import { text } from "node:stream/consumers";
import { SessionView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { requestExitCodesHelp } from "../context/exit-codes.ts";
import { browserLogin } from "../instance/browser-login.ts";
import { checkToken, parseInstanceUrl } from "../instance/connection-values.ts";
import { currentInstance, readCredentials, writeCredentials } from "../instance/credentials.ts";
import { InstanceClient } from "../instance/instance-client.ts";
import { parseInstanceAddress } from "../options/instance-argument.ts";
import { parseInstanceName } from "../options/name-arguments.ts";
import { isInteractive } from "../terminal/confirm.ts";
import { printJson } from "../terminal/print-json.ts";
import { asTerminal, readHidden } from "../terminal/read-hidden.ts";

interface Options {
  readonly name?: string;
  readonly token?: boolean;
  readonly tokenStdin?: boolean;
  readonly json?: boolean;
}

export function loginCommand(context: CommandContext): Command {
  return new Command("login")
    .description("Log in to an instance, which becomes the current one")
    .argument("[URL]", "the instance's address; default: the current instance's", parseInstanceAddress)
    .option("--name <NAME>", "short name of the instance; default: its host", parseInstanceName)
    .option("--token", "ask for a token in the terminal, instead of opening the browser")
    .option("--token-stdin", "read the token from standard input instead of the terminal")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The page that opens asks you to confirm, and then shows a code to type here. It may be open on another machine, so this
works over SSH. The administrator's token, and tokens of the account page, are given with --token or --token-stdin.

The token is stored in airlock/credentials.json in XDG_CONFIG_HOME or ~/.config. Only you can read this file. AIRLOCK_URL
and AIRLOCK_TOKEN win over it.

Examples:
  airlock login https://airlock.example.com
  airlock login https://airlock.example.com --name work --token-stdin < token
  AIRLOCK_INSTANCE=work airlock job list
${requestExitCodesHelp}`,
    )
    .action((url: URL | undefined, options: Options) => login(context, url, options));
}

async function login(context: CommandContext, address: URL | undefined, options: Options): Promise<void> {
  const credentials = await readCredentials(context.env);
  const current = currentInstance(credentials);
  if (!address && !current) throw new UsageError("no instance chosen", "Give its address: `airlock login URL`.");
  const url = address ?? parseInstanceUrl(current?.url ?? "", "the current instance");
  const known = credentials.instances.find((stored) => stored.url === url.href);
  const name = options.name ?? known?.name ?? `${url.host}${url.pathname.slice(0, -1).replaceAll("/", "-")}`;
  const taken = credentials.instances.find((stored) => stored.name === name && stored.url !== url.href);
  if (taken) {
    throw new UsageError(`${name} is the name of ${taken.url}`, "Choose another name with --name.");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    context.stderr.write(
      `warning: ${url.host} is not reached with https, so others on the network can read the token\n`,
    );
  }
  const token = await chooseToken(context, url, options);
  const client = new InstanceClient({ url, token, source: "your input", instance: name });
  const session = await client.json(SessionView, "session");
  const others = credentials.instances.filter((stored) => stored.url !== url.href);
  const instances = [...others, { name, url: url.href, token }].sort((a, b) => a.name.localeCompare(b.name));
  const file = await writeCredentials(context.env, { current: name, instances });
  const user = session.user?.name ?? null;
  if (options.json) return printJson(context, { name, url: url.href, user, role: session.role, file });
  const who = user === null ? "with the administrator's token" : `as ${plainText(user)}`;
  context.stdout.write(`logged in to ${plainText(name)} ${who}\n`);
}

async function chooseToken(context: CommandContext, url: URL, options: Options): Promise<string> {
  if (options.tokenStdin) return checkToken((await text(context.stdin)).trim(), "standard input");
  if (options.token) {
    const terminal = asTerminal(context.stdin);
    if (!terminal) throw noTerminal();
    context.stderr.write(`create a token at ${new URL("account", url).href}\n`);
    return checkToken((await readHidden(terminal, context, "Token")).trim(), "your input");
  }
  if (!isInteractive(context)) throw noTerminal();
  const { token } = await browserLogin(context, url);
  return checkToken(token, `the answer of ${url.origin}`);
}

function noTerminal(): UsageError {
  return new UsageError("no terminal to ask you", "Pass a token on standard input with --token-stdin.");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(?:\.\d+){3}$/.test(host);
}
