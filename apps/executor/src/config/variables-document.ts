import { describeVariables, type VariableGroup } from "./describe-variables.ts";
import { otherVariables } from "./other-variables.ts";

/** Text of `docs/executor-configuration.md`. */
export function variablesDocument(): string {
  return `# Configuration of an executor

<!-- Written by \`node scripts/executor-configuration.ts\` from the schemas that read the variables. Don't edit it. -->

An executor is configured by environment variables. An empty variable counts as not set. \`executor validate\` checks
them, and everything else that an executor needs.

Variables that Sourcegraph's executor also has keep their names. Two of them have other defaults:
\`SRC_LOG_LEVEL\` is \`info\` (not \`warn\`), and \`EXECUTOR_USE_FIRECRACKER\` is \`false\`.

${describeVariables().map(groupTable).join("\n\n")}

## Variables of Sourcegraph's executor without effect here

The executor refuses to start when a variable marked as refused is set, because ignoring it would be a surprise. It names
the others, and every unknown \`EXECUTOR_…\` variable, in its log at the start. \`executor validate\` names them, too.

| variable | | |
|---|---|---|
${otherVariables.map(({ name, effect, why }) => row([`\`${name}\``, effect, why])).join("\n")}

\`EXECUTOR_FIRECRACKER_NUM_CPUS\` and \`EXECUTOR_FIRECRACKER_MEMORY\` are older names of \`EXECUTOR_JOB_NUM_CPUS\` and
\`EXECUTOR_JOB_MEMORY\`. \`HOME\` is the directory that \`~\` stands for. \`TMPDIR\` is used only for the image name
\`host\` of the docker runtime: all other files are in the data directory.
`;
}

/** The same information for a terminal: name, default and description. */
export function variablesText(): string {
  return describeVariables()
    .map(({ title, variables }) => {
      const lines = variables.map(
        ({ name, default: fallback, values, description }) =>
          `  ${name}${fallback === "" ? "" : ` [${fallback}]`}\n      ${description} (${values.replaceAll("`", "")})`,
      );
      return `${title}:\n${lines.join("\n")}`;
    })
    .join("\n\n");
}

function groupTable({ title, variables }: VariableGroup): string {
  const rows = variables.map(({ name, default: fallback, values, description }) =>
    row([`\`${name}\``, shownDefault(fallback), values, description]),
  );
  return `## ${title}\n\n| variable | default | values | |\n|---|---|---|---|\n${rows.join("\n")}`;
}

/** Formats a literal value as code. Defaults in words stay plain text. */
function shownDefault(fallback: string): string {
  return fallback === "" || /[^\x21-\x7e]|^(?:required|none)$/.test(fallback) ? fallback : `\`${fallback}\``;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
