import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ArtifactList, ArtifactName, type ArtifactView } from "@airlock/api";
import { AirlockError, formatBytes } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { downloadArtifact } from "../../instance/download-artifact.ts";
import { parseJobId, parsePositive } from "../../options/number-arguments.ts";

interface Options {
  readonly output?: string;
  readonly attempt?: number;
}

export function jobDownloadCommand(context: CommandContext): Command {
  return new Command("download")
    .description("Download a job's artifacts; archives are saved, not unpacked")
    .argument("<ID>", "the job's number", parseJobId)
    .argument("[NAME]", "an artifact's name, from `airlock job artifacts`; default: all of them")
    .option("-o, --output <FILE|DIR>", "file or directory to write to; default: job-ID-NAME in this directory")
    .option("--attempt <N>", "only artifacts of this attempt; default: the last attempt that has any", parsePositive)
    .addHelpText(
      "after",
      `
Examples:
  airlock job download 7
  airlock job download 7 outputs.tar.gz -o results.tar.gz && tar -tzf results.tar.gz
  airlock job download 7 workspace.diff -o fix.diff && git apply fix.diff
${requestExitCodesHelp}`,
    )
    .action(async (id: number, name: string | undefined, options: Options) => {
      const client = await connect(context);
      const { artifacts } = await client.json(ArtifactList, `jobs/${id}/artifacts`);
      const chosen = choose(artifacts, id, name, options.attempt);
      for (const artifact of chosen) {
        const path = await place(context, id, artifact, options.output, chosen.length);
        await downloadArtifact(client, id, artifact, path);
        context.stdout.write(`${plainText(path)}  ${formatBytes(artifact.bytes)}\n`);
      }
    });
}

function choose(all: readonly ArtifactView[], job: number, name: string | undefined, attempt: number | undefined) {
  const last =
    attempt ?? Math.max(...all.filter((each) => each.name === (name ?? each.name)).map((one) => one.attempt));
  const chosen = all.filter((each) => each.attempt === last && each.name === (name ?? each.name));
  if (chosen.length > 0) return chosen;
  throw new AirlockError(
    `job ${job} has ${name === undefined ? "no artifacts" : `no artifact named ${JSON.stringify(name)}`}`,
    {
      code: "no-artifact",
      hint: all.length > 0 ? `Its artifacts are: ${[...new Set(all.map((each) => each.name))].join(", ")}.` : "",
    },
  );
}

async function place(
  context: CommandContext,
  job: number,
  artifact: ArtifactView,
  output: string | undefined,
  count: number,
): Promise<string> {
  // Validate the name: the instance must not choose arbitrary file names in this directory.
  const name = `job-${job}-${ArtifactName.parse(artifact.name)}`;
  if (output === undefined) return join(context.cwd, name);
  const path = resolve(context.cwd, output);
  const isDirectory = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (isDirectory) return join(path, name);
  if (count > 1)
    throw new UsageError(`${output} is not a directory, and the job has ${count} artifacts: name one of them`);
  return path;
}
