import { SecretAudit, type SecretEventView, secretActions } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command, Option } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseNamespace, parseSecretName } from "../../options/name-arguments.ts";
import { parseJobId, parsePageSize, parsePositive } from "../../options/number-arguments.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";

interface Options {
  readonly namespace?: string;
  readonly action?: string;
  readonly job?: number;
  readonly before?: number;
  readonly limit: number;
  readonly json?: boolean;
}

export function secretAuditCommand(context: CommandContext): Command {
  return new Command("audit")
    .description("Show who created, changed and deleted secrets, and which jobs used them, newest first")
    .argument("[NAME]", "only this secret", parseSecretName)
    .option("--namespace <NAME>", "only secrets of this namespace", parseNamespace)
    .addOption(new Option("--action <ACTION>", "only events of this kind").choices([...secretActions]))
    .option("--job <ID>", "only secrets used by this job", parseJobId)
    .option("--before <ID>", "only events older than this one, for the next page", parsePositive)
    .option("--limit <N>", "at most this many, up to 200", parsePageSize, 50)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock secret audit NPM_TOKEN
  airlock secret audit --job 42
  airlock secret audit --action deleted --json | jq '.events[]'
${requestExitCodesHelp}`,
    )
    .action(async (name: string | undefined, { json, ...filters }: Options) => {
      const client = await connect(context);
      const search = new URLSearchParams();
      for (const [key, value] of Object.entries({ name, ...filters })) {
        if (value !== undefined) search.set(key, String(value));
      }
      const audit = await client.json(SecretAudit, `secrets/audit?${search}`);
      if (json) return printJson(context, audit);
      if (audit.events.length === 0) {
        context.stderr.write("no events recorded\n");
        return;
      }
      const header = ["TIME", "ACTION", "NAME", "NAMESPACE", "QUEUE", "BY", "WHERE"];
      context.stdout.write(formatTable(header, audit.events.map(toRow)));
      if (audit.next !== null) {
        context.stderr.write(painter(context.stdout)("dim", `more events: add --before ${audit.next}\n`));
      }
    });
}

function toRow(event: SecretEventView): string[] {
  const { job, attempt, step } = event;
  const where =
    job === null ? event.via : `job ${job}, attempt ${attempt}, ${step === null ? "images" : `step ${step}`}`;
  return [
    event.at.replace("T", " ").replace(/\.\d+Z$/, "Z"),
    event.action,
    plainText(event.name),
    plainText(event.namespace ?? "(all)"),
    plainText(event.queue ?? "(all)"),
    plainText(event.actor),
    plainText(where),
  ];
}
