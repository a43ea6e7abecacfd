import { RotatedKeys } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { printJson } from "../../terminal/print-json.ts";

export function secretRotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("Encrypt all secrets with the instance's newest key, so that older keys are no longer needed")
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock secret rotate\n${requestExitCodesHelp}`)
    .action(async (options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const result = await client.json(RotatedKeys, "secrets/rotate", { method: "POST" });
      if (options.json) return printJson(context, result);
      context.stdout.write(`${result.rotated} values were re-encrypted; all values now use key ${result.keyId}\n`);
    });
}
