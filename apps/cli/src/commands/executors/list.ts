import { ExecutorList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";
import { executorState, platformOf } from "./describe-executor.ts";

export function executorsListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List the executors that have contacted the instance")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nExample:\n  airlock executors list\n\n\`airlock executors show NAME\` also shows the versions of git and the engine.\n${requestExitCodesHelp}`,
    )
    .action(async (options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const list = await client.json(ExecutorList, "executors");
      if (options.json) return printJson(context, list);
      if (list.executors.length === 0) {
        context.stderr.write(
          "no executors yet; start one with `executor run`, or start everything with `airlock dev`\n",
        );
        return;
      }
      const paint = painter(context.stdout);
      const now = new Date();
      const rows = list.executors.map((executor) => [
        plainText(executor.name),
        executorState(executor, paint),
        plainText(executor.queues.join(", ")),
        plainText(platformOf(executor)) || "-",
        plainText(`${executor.runtime} ${executor.runtimeVersion}`.trim()) || "-",
        plainText(executor.version) || "-",
        `${executor.runningJobs.length}/${executor.slots ?? "?"}`,
        relativeTime(executor.lastSeenAt, now),
      ]);
      context.stdout.write(
        formatTable(["NAME", "STATE", "QUEUES", "PLATFORM", "RUNTIME", "VERSION", "JOBS", "SEEN"], rows),
      );
    });
}
