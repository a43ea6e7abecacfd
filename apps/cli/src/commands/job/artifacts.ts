import { ArtifactList } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";

export function jobArtifactsCommand(context: CommandContext): Command {
  return new Command("artifacts")
    .description("List a job's artifacts: the files named by `outputs`, and the workspace diff")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock job artifacts 7
  airlock job artifacts 7 --json | jq '.artifacts[].sha256'
${requestExitCodesHelp}`,
    )
    .action(async (id: number, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const list = await client.json(ArtifactList, `jobs/${id}/artifacts`);
      if (options.json) return printJson(context, list);
      if (list.artifacts.length === 0) {
        context.stderr.write(`job ${id} has no artifacts\n`);
        return;
      }
      const rows = list.artifacts.map(({ attempt, name, kind, bytes, sha256 }) => {
        return [plainText(name), String(attempt), kind, formatBytes(bytes), plainText(sha256)];
      });
      context.stdout.write(formatTable(["NAME", "ATTEMPT", "KIND", "SIZE", "SHA-256"], rows));
    });
}
