import { SecretName, SecretView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { printJson } from "../../terminal/print-json.ts";
import { readSecretValue } from "./read-secret-value.ts";
import { addScopeFlags, describeScope, type ScopeFlags } from "./secret-scope.ts";

type Options = ScopeFlags & { readonly fromFile?: string; readonly description?: string; readonly json?: boolean };

export function secretSetCommand(context: CommandContext): Command {
  return (
    addScopeFlags(new Command("set"))
      .description("Create a secret or replace its value; the value is read from standard input or a file")
      .argument("<NAME>", "name of the secret and of its environment variable: upper-case letters, digits and _")
      .option("--from-file <FILE>", "the value is this file's contents, byte for byte")
      .option("--description <TEXT>", "what the secret is for; visible to all users")
      .option("--json", "print JSON")
      // The action below rejects extra arguments: commander's message would repeat a value given as an argument.
      .allowExcessArguments()
      .addHelpText(
        "after",
        `
The value is never an argument, because arguments show in the process list and in the shell's history.
It cannot be read again. One newline at the end of standard input is removed.

Examples:
  printf %s "$TOKEN" | airlock secret set NPM_TOKEN
  airlock secret set DEPLOY_KEY --from-file ~/.ssh/deploy --namespace team-a
  airlock secret set DOCKER_AUTH_CONFIG --from-file ~/.docker/config.json
${requestExitCodesHelp}`,
      )
      .action(async (name: string, options: Options, command: Command) => {
        if (command.args.length > 1) {
          throw new UsageError(
            "too many arguments",
            "The value is read from standard input or --from-file; see --help.",
          );
        }
        // A parser's message would repeat the argument, which may be NAME=VALUE.
        if (!SecretName.safeParse(name).success) {
          throw new UsageError(
            "NAME is not a secret's name: upper-case letters, digits and '_', beginning with a letter",
            "The value is read from standard input or --from-file; see --help.",
          );
        }
        const client = await connect(context);
        const { namespace, queue = null, description } = options;
        const value = await readSecretValue(context, plainText(name), options.fromFile);
        const secret = await client.json(SecretView, `secrets/${encodeURIComponent(name)}`, {
          method: "PUT",
          body: {
            queue,
            value,
            // Only the instance knows whether the user is an administrator, whose default is all jobs.
            ...(namespace === undefined ? {} : { namespace }),
            ...(description === undefined ? {} : { description }),
          },
        });
        if (options.json) return printJson(context, secret);
        const word = secret.createdAt === secret.updatedAt ? "created" : "changed";
        context.stdout.write(`secret ${plainText(secret.name)} ${describeScope(secret)} ${word}\n`);
      })
  );
}
