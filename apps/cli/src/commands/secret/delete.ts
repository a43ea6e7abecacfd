import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseSecretName } from "../../options/name-arguments.ts";
import { addScopeFlags, describeScope, type ScopeFlags } from "./secret-scope.ts";

export function secretDeleteCommand(context: CommandContext): Command {
  return addScopeFlags(new Command("delete"))
    .alias("rm")
    .description("Delete a secret; waiting jobs that use it will fail")
    .argument(
      "<NAME>",
      "the secret's name, from `airlock secret list`; give its namespace and queue, too",
      parseSecretName,
    )
    .addHelpText(
      "after",
      `\nExamples:\n  airlock secret delete NPM_TOKEN\n  airlock secret delete DEPLOY_KEY --namespace team-a\n${requestExitCodesHelp}`,
    )
    .action(async (name: string, options: ScopeFlags) => {
      const client = await connect(context);
      const search = new URLSearchParams();
      if (options.namespace) search.set("namespace", options.namespace);
      if (options.queue) search.set("queue", options.queue);
      await client.request(`secrets/${encodeURIComponent(name)}?${search}`, { method: "DELETE" });
      // Without a namespace, the instance chooses the scope.
      const scope = search.size === 0 ? "" : ` ${describeScope({ namespace: null, queue: null, ...options })}`;
      context.stdout.write(`secret ${plainText(name)}${scope} deleted\n`);
    });
}
