import { RevokedExecutorToken } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseTokenId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function executorTokenRevokeCommand(context: CommandContext): Command {
  return new Command("revoke")
    .description("End an executor token at once")
    .argument("<ID>", "the token's number, from `airlock executor-token list`", parseTokenId)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Its executors get no further jobs. They can still report on their running jobs until the leases end. Then these jobs are
retried. To stop an executor that you don't trust at once, cancel these jobs, too.

Example:
  airlock executor-token revoke 7
${requestExitCodesHelp}`,
    )
    .action(async (id: number, { json }: { readonly json?: boolean }) => {
      const client = await connect(context);
      const revoked = await client.json(RevokedExecutorToken, `executor-tokens/${id}`, { method: "DELETE" });
      if (json) return printJson(context, revoked);
      const { runningJobs } = revoked;
      context.stdout.write(`executor token ${id} revoked\n`);
      if (runningJobs.length > 0) {
        context.stderr.write(
          `its executors still run: airlock job cancel ${runningJobs.join(" ")} would end these jobs\n`,
        );
      }
    });
}
