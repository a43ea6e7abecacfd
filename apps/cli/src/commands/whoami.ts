import { SessionView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { requestExitCodesHelp } from "../context/exit-codes.ts";
import { connect } from "../instance/connect.ts";
import { printJson } from "../terminal/print-json.ts";

export function whoamiCommand(context: CommandContext): Command {
  return new Command("whoami")
    .description("Show the instance, the user, and the user's roles")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock whoami
  airlock whoami --json | jq -r .user.name
${requestExitCodesHelp}`,
    )
    .action(async ({ json }: { readonly json?: boolean }) => {
      const client = await connect(context);
      const { url, source } = client.connection;
      const { role, version, user, namespaces } = await client.json(SessionView, "session");
      if (json) {
        return printJson(context, {
          instance: url.href,
          version,
          credential: source,
          user,
          role,
          namespaces,
        });
      }
      const lines = [
        ["instance", `${url.href} (version ${version})`],
        ["credential", source],
        ["user", user === null ? "none: this is the administrator's token" : describeUser(user)],
        ["role", role],
        ...namespaces.map(({ name, role: own }) => ["namespace", `${name} (${own})`]),
      ];
      context.stdout.write(lines.map(([name = "", value = ""]) => `${name.padEnd(12)}${plainText(value)}\n`).join(""));
    });
}

function describeUser({ name, displayName }: { readonly name: string; readonly displayName: string }): string {
  return displayName === "" ? name : `${name} (${displayName})`;
}
