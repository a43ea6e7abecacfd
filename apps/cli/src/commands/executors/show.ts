import { ExecutorList } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseExecutorName } from "../../options/name-arguments.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { executorState, platformOf } from "./describe-executor.ts";

export function executorsShowCommand(context: CommandContext): Command {
  return new Command("show")
    .description("Show an executor: its machine, the versions of its programs, its labels and its jobs")
    .argument("<NAME>", "the executor's name, from `airlock executors list`", parseExecutorName)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock executors show build-7\n${requestExitCodesHelp}`)
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const { executors } = await client.json(ExecutorList, "executors");
      const executor = executors.find((one) => one.name === name);
      if (!executor) {
        throw new AirlockError(`no executor named "${name}"`, {
          code: "not-found",
          hint: "List the executors with `airlock executors list`.",
        });
      }
      if (options.json) return printJson(context, executor);
      const paint = painter(context.stdout);
      const now = new Date();
      const fields: readonly (readonly [string, string])[] = [
        ["state", executorState(executor, paint)],
        ["queues", executor.queues.join(", ")],
        ["platform", platformOf(executor)],
        ["runtime", `${executor.runtime} ${executor.runtimeVersion}`.trim()],
        ["executor", executor.version],
        ["git", executor.gitVersion],
        ["docker", executor.dockerVersion],
        [
          "labels",
          Object.entries(executor.labels)
            .map(([label, value]) => `${label}=${value}`)
            .join(", "),
        ],
        ["slots", executor.slots === null ? "unknown" : String(executor.slots)],
        ["jobs", executor.runningJobs.map((id) => `#${id}`).join(", ") || "none"],
        ["seen", `${relativeTime(executor.lastSeenAt, now)}, first ${relativeTime(executor.firstSeenAt, now)}`],
      ];
      const lines = fields
        .filter(([, text]) => text !== "")
        .map(([field, text]) => `  ${paint("dim", field.padEnd(8))}  ${field === "state" ? text : plainText(text)}\n`);
      context.stdout.write(`${paint("bold", plainText(executor.name))}\n${lines.join("")}`);
    });
}
