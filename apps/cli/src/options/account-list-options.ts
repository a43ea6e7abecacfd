import type { Command } from "commander";
import { parseAccountText, parseNamespace } from "./name-arguments.ts";
import { parsePageSize } from "./number-arguments.ts";

/** Which page of a list of users, organizations or members a command shows. */
export interface AccountListOptions {
  readonly text?: string;
  readonly after?: string;
  readonly limit: number;
  readonly json?: boolean;
}

export function addAccountListOptions(command: Command): Command {
  return command
    .option("--text <TEXT>", "only those with this text in the name or display name", parseAccountText)
    .option("--after <NAME>", "only names after this one, for the next page", parseNamespace)
    .option("--limit <N>", "at most this many, up to 200", parsePageSize, 50)
    .option("--json", "print JSON");
}

/** The query string of the list. */
export function accountSearch({ text, after, limit }: AccountListOptions): URLSearchParams {
  const search = new URLSearchParams({ limit: String(limit) });
  if (text !== undefined) search.set("text", text);
  if (after !== undefined) search.set("after", after);
  return search;
}
